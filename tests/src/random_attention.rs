//! Differential attention at random.

use minuend::ir::ops::Mask;
use minuend_conform::diff_attention_problem::{AttentionShape, DECODE};
use proptest::arbitrary::Arbitrary;
use proptest::prelude::{BoxedStrategy, Just, Strategy};
use proptest::prop_oneof;

/// A problem of differential attention, at random within bounds that a debug build can bear. Sizes
/// straddle tiles.
#[derive(Clone, Debug)]
pub struct RandomAttention(pub AttentionShape);

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1), Just(2), Just(7), Just(63), Just(64), Just(65), 1u64..80]
}

fn features() -> impl Strategy<Value = usize> {
    prop_oneof![Just(2), Just(16), Just(32), Just(64), (1usize..36).prop_map(|half| 2 * half)]
}

fn mask() -> impl Strategy<Value = Mask> {
    let window = |window| Mask::SlidingWindow { window };
    prop_oneof![Just(Mask::Full), Just(Mask::Causal), (1u32..90).prop_map(window)]
}

impl Arbitrary for RandomAttention {
    type Parameters = ();
    type Strategy = BoxedStrategy<RandomAttention>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        let heads = (1usize..=3, prop_oneof![Just(1usize), Just(2), Just(4)]);
        let past = prop_oneof![Just(0), Just(1), 0u64..70];
        let reach = prop_oneof![Just(1u32), Just(8), Just(40)];
        let parts = (1u64..=3, heads, tokens(), past, features(), features(), mask(), reach);
        let shape =
            parts.prop_map(|(batch, heads, tokens, past, head_dim, value_dim, mask, reach)| {
                let (groups, group) = heads;
                RandomAttention(AttentionShape {
                    batch,
                    heads: groups * group,
                    group,
                    tokens,
                    past,
                    head_dim,
                    value_dim,
                    mask,
                    lambda_reach: reach,
                    ..DECODE
                })
            });
        shape.boxed()
    }
}

//! Files of expected outputs.

use std::collections::BTreeMap;

use minuend_models::{ExpectedGroup, ExpectedOutputs, GreedyContinuation};
use safetensors::Dtype;

use crate::scratch::{Fill, demo, fixture, write_tensors};

fn open(tensors: &[(&str, Fill)]) -> Result<Vec<ExpectedGroup>, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("expected.safetensors");
    let tensors: BTreeMap<String, Fill> =
        tensors.iter().map(|(name, fill)| ((*name).to_owned(), fill.clone())).collect();
    write_tensors(&path, &tensors);
    ExpectedOutputs::open(&path).map(|e| e.groups).map_err(|error| error.to_string())
}

fn ids(shape: [usize; 2]) -> Fill {
    (Dtype::I64, shape.to_vec(), 0)
}

fn logits(shape: [usize; 3]) -> Fill {
    (Dtype::F32, shape.to_vec(), 0)
}

#[test]
fn plain_group_with_a_greedy_continuation() {
    let path = fixture("tiny-diffv2").join("expected.safetensors");
    let groups = ExpectedOutputs::open(path).unwrap().groups;
    let [group] = groups.as_slice() else { panic!("one group") };
    assert_eq!((group.name.as_str(), group.batch, group.tokens), ("", 2, 24));
    assert_eq!((group.vocab_size, group.logits.len()), (97, 2 * 24 * 97));
    assert!(group.logits.iter().all(|x| x.is_finite()));
    let [GreedyContinuation { prompt_tokens: 4, new_tokens: 24, ids }] = group.greedy.as_slice()
    else {
        panic!("one continuation of 24 tokens after 4");
    };
    for row in 0..2 {
        assert_eq!(ids[row * 28..][..4], group.input_ids[row * 24..][..4], "the prompt");
    }
    // The first generated token is the most probable one after the prompt.
    let after = &group.logits[3 * 97..4 * 97];
    let best = (0..97u32).max_by(|&a, &b| after[a as usize].total_cmp(&after[b as usize]));
    assert_eq!(Some(ids[4]), best);
}

#[test]
fn named_groups_of_the_demo_model() {
    let groups = ExpectedOutputs::open(demo().join("expected.safetensors")).unwrap().groups;
    let sizes: Vec<_> = groups.iter().map(|g| (g.name.as_str(), g.batch, g.tokens)).collect();
    assert_eq!(sizes, [("prompt0", 1, 3), ("prompt1", 1, 26), ("prompt2", 1, 7)]);
    assert_eq!(groups[0].input_ids, [859, 26, 199]);
}

#[test]
fn unknown_and_missing_tensors_are_named_together() {
    let error = open(&[
        ("input_ids", ids([1, 2])),
        ("logits", logits([1, 2, 3])),
        ("a.b.input_ids", ids([1, 2])),
        ("hidden", ids([1, 2])),
        ("greedy_from_", ids([1, 2])),
        ("greedy_from_04", ids([1, 9])),
    ])
    .unwrap_err();
    for name in ["`a.b.logits`: missing", "`hidden`: unknown", "`greedy_from_`", "`greedy_from_04`"]
    {
        assert!(error.contains(name), "{name} not in: {error}");
    }
    assert!(open(&[]).unwrap_err().contains("no tensors found"));
}

#[test]
fn shapes_and_dtypes_are_checked() {
    let good = ("input_ids", ids([1, 2]));
    let error = |tensors: &[(&str, Fill)]| open(tensors).unwrap_err();
    for bad in [logits([2, 2, 3]), logits([1, 3, 3]), (Dtype::F64, vec![1, 2, 3], 0), ids([1, 2])] {
        assert!(error(&[good.clone(), ("logits", bad)]).contains("expected F32 [1, 2, V]"));
    }
    let zero = error(&[("input_ids", ids([1, 0])), ("logits", logits([1, 0, 3]))]);
    assert!(zero.contains("no dimension of 0"), "{zero}");
    let flat = (Dtype::I64, vec![2], 0);
    assert!(error(&[("input_ids", flat), ("logits", logits([1, 2, 3]))]).contains("I64 [B, T]"));
    for (name, shape) in
        [("greedy_from_4", [1, 4]), ("greedy_from_0", [1, 4]), ("greedy_from_1", [2, 4])]
    {
        let pair = [good.clone(), ("logits", logits([1, 2, 3])), (name, ids(shape))];
        assert!(error(&pair).contains(name));
    }
}

#[test]
fn ids_are_in_the_vocabulary() {
    for (fill, id) in [(1, "72340172838076673"), (255, "-1")] {
        let tensors =
            [("p.input_ids", (Dtype::I64, vec![1, 1], fill)), ("p.logits", logits([1, 1, 3]))];
        let error = open(&tensors).unwrap_err();
        assert!(error.contains(&format!("`p.input_ids`: token id {id} is not")), "{error}");
    }
}

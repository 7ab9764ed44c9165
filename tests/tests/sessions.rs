//! What a program that runs models relies on: sharing, resetting, limits, refusals, and memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::thread;

use minuend::ir::{Bindings, DType};
use minuend::{
    CompileOptions, CompiledModel, Error, Executable, HostTensor, Input, LogitRows, Model,
    RequestError, RunError, Session, TokenModel,
};
use minuend_plan::BindError;
use minuend_tests::models;
use minuend_tests::runners::cpu;

fn compiled() -> CompiledModel {
    let model = Model::open(models::fixture("tiny-diffv2")).unwrap();
    model.compile(cpu(), LogitRows::All, &CompileOptions::default()).unwrap()
}

/// Logits of the tokens of a prompt and of some single tokens behind it, bit by bit.
fn logits(session: &mut dyn TokenModel, seed: u32) -> Vec<Vec<u32>> {
    let prompt: Vec<u32> = (0..23).map(|at| (at * at + seed) % 97).collect();
    let mut all = vec![session.feed(&prompt, 1).unwrap()];
    all.extend((0..5).map(|at| session.feed(&[(at * 11 + seed) % 97], 1).unwrap()));
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    all.into_iter().map(|logits| bits(logits.values)).collect()
}

#[test]
fn an_executable_is_shared_by_threads() {
    fn is_shared<T: Send + Sync + Clone>() {}
    fn is_sent<T: Send>() {}
    is_shared::<Executable>();
    is_shared::<CompiledModel>();
    is_sent::<Session>();

    let compiled = compiled();
    let alone: Vec<_> =
        (0..4).map(|seed| logits(&mut compiled.session(64).unwrap(), seed)).collect();
    assert_ne!(alone[0], alone[1]);
    thread::scope(|scope| {
        let start = |seed: u32| {
            let compiled = compiled.clone();
            scope.spawn(move || {
                let mut session = compiled.session(64).unwrap();
                let repeated = (0..3).map(|_| {
                    session.reset();
                    logits(&mut session, seed)
                });
                repeated.collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..4).map(start).collect();
        for (seed, thread) in threads.into_iter().enumerate() {
            for together in thread.join().unwrap() {
                assert!(together == alone[seed], "seed {seed}: other logits than alone");
            }
        }
    });
}

#[test]
fn sessions_of_one_executable_do_not_see_each_other() {
    let compiled = compiled();
    let (mut a, mut b) = (compiled.session(64).unwrap(), compiled.session(64).unwrap());
    let alone = logits(&mut compiled.session(64).unwrap(), 1);
    a.feed(&[1, 2, 3], 1).unwrap();
    assert_eq!((a.position(), b.position()), (3, 0));
    assert!(logits(&mut b, 1) == alone);
}

#[test]
fn a_reset_session_is_as_a_fresh_one() {
    let mut session = compiled().session(64).unwrap();
    let first = logits(&mut session, 5);
    assert_eq!(session.position(), 28);
    session.reset();
    assert_eq!(session.position(), 0);
    // Another batch has other strides in the same memory.
    session.feed(&[7; 12], 4).unwrap();
    session.reset();
    assert!(logits(&mut session, 5) == first);
}

#[test]
fn a_full_cache_is_an_error_and_the_session_goes_on() {
    let compiled = compiled();
    let mut session = compiled.session(8).unwrap();
    session.feed(&[1, 2, 3, 4, 5, 6], 1).unwrap();
    let error = session.feed(&[7, 8, 9], 1).unwrap_err();
    let is_capacity = |error: &Error| {
        let Error::Run(RunError::Bind(error)) = error else { return false };
        matches!(error, BindError::Capacity { needed: 9, capacity: 8, .. })
    };
    assert!(is_capacity(&error), "{error}");
    assert_eq!(session.position(), 6);
    let found = session.feed(&[7, 8], 1).unwrap();
    let mut fresh = compiled.session(8).unwrap();
    fresh.feed(&[1, 2, 3, 4, 5, 6], 1).unwrap();
    assert_eq!(found, fresh.feed(&[7, 8], 1).unwrap());
    assert_eq!(session.position(), 8);
    assert!(session.feed(&[1], 1).is_err());
    session.reset();
    session.feed(&[1; 8], 1).unwrap();
}

#[test]
fn a_session_has_no_more_memory_than_the_context() {
    let compiled = compiled();
    let limit = compiled.config().max_positions;
    let mut session = compiled.session(usize::MAX).unwrap();
    assert_eq!(session.runtime().capacity(), limit as u64);
    session.feed(&vec![1; limit], 1).unwrap();
    assert!(matches!(
        session.feed(&[1], 1),
        Err(Error::Request(RequestError::PromptTooLong { .. }))
    ));
}

#[test]
fn requests_that_cannot_be_met() {
    let mut session = compiled().session(64).unwrap();
    session.feed(&[3, 4], 1).unwrap();
    let mut refused = |ids: &[u32], batch| match session.feed(ids, batch) {
        Err(Error::Request(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[], 1), "the prompt is empty, expected at least 1 token");
    assert_eq!(refused(&[1], 0), "the prompt is empty, expected at least 1 token");
    assert_eq!(refused(&[1, 2, 3], 2), "3 tokens do not make 2 sequences of equal length");
    assert_eq!(refused(&[1, 97], 1), "token 97 is outside the vocabulary of 97");
    assert_eq!(refused(&[u32::MAX], 1), "token 4294967295 is outside the vocabulary of 97");
    assert_eq!(
        refused(&[1; 127], 1),
        "129 tokens do not fit the context of 128 (max_position_embeddings); shorten the prompt"
    );
    assert_eq!(session.position(), 2);
}

/// Sequences with tokens in the cache cannot become more or fewer.
#[test]
fn another_batch_in_the_middle_is_an_error() {
    let compiled = compiled();
    for (first, second) in [(1, 2), (2, 1), (3, 2)] {
        let mut session = compiled.session(64).unwrap();
        session.feed(&vec![5; 4 * first], first).unwrap();
        let error = session.feed(&vec![6; second], second);
        assert!(error.is_err(), "batch {first}, then {second}");
        assert_eq!(session.position(), 4);
        // And the session goes on as if nothing had been asked.
        let found = session.feed(&vec![7; first], first).unwrap();
        let mut fresh = compiled.session(64).unwrap();
        fresh.feed(&vec![5; 4 * first], first).unwrap();
        assert_eq!(found, fresh.feed(&vec![7; first], first).unwrap());
    }
}

#[test]
fn arguments_of_another_type_are_errors() {
    let mut session = compiled().executable().session(32).unwrap();
    let ids = |shape: &[usize]| {
        let count = shape.iter().product();
        HostTensor::from_i64(shape, &vec![1; count]).unwrap()
    };
    let reals = HostTensor::from_f32(&[1, 2], &[1.0, 2.0]).unwrap();
    let narrow = HostTensor::from_bytes(DType::I32, &[1, 2], vec![0; 8]).unwrap();
    let mut refused = |arguments: &[HostTensor]| session.run(arguments).unwrap_err().to_string();
    assert_eq!(refused(&[]), "0 arguments, expected 1");
    assert_eq!(refused(&[ids(&[1, 1]), ids(&[1, 1])]), "2 arguments, expected 1");
    assert_eq!(refused(&[reals]), "argument %input_ids is f32[1, 2], expected i64[B, S]");
    assert_eq!(refused(&[narrow]), "argument %input_ids is i32[1, 2], expected i64[B, S]");
    assert_eq!(refused(&[ids(&[2])]), "argument %input_ids is i64[2], expected i64[B, S]");
    assert_eq!(
        refused(&[ids(&[1, 1, 2])]),
        "argument %input_ids is i64[1, 1, 2], expected i64[B, S]"
    );
    assert_eq!(refused(&[ids(&[0, 1])]), "symbol B is 0, expected 1..=1024");
    assert_eq!(refused(&[ids(&[1, 0])]), "symbol S is 0, expected 1..=128");
    assert_eq!(refused(&[ids(&[1, 129])]), "symbol S is 129, expected 1..=128");
    // Below the model, a token outside the vocabulary is an index outside the table.
    for outside in [97, -1, i64::MAX, i64::MIN] {
        let error = refused(&[HostTensor::from_i64(&[1, 1], &[outside]).unwrap()]);
        assert!(error.contains("97"), "{error}");
    }
    assert_eq!(session.position(), 0);
    session.run(&[ids(&[1, 3])]).unwrap();
    assert_eq!(session.position(), 3);
}

/// What the plan says it takes is what a session takes.
#[test]
fn the_planned_memory_is_the_allocated_memory() {
    for directory in models::all() {
        let model = Model::open(directory).unwrap();
        let compiled = model.compile(cpu(), LogitRows::Last, &CompileOptions::default()).unwrap();
        let program = compiled.executable().program();
        for (batch, tokens, capacity) in [(1, 1, 1), (1, 40, 64), (3, 17, 17)] {
            let mut bindings = Bindings::new();
            for (name, value) in [("B", batch), ("S", tokens), ("P", 0)] {
                bindings.set(program.symbols.id(name).unwrap(), value as u64);
            }
            bindings.set(program.capacity.unwrap(), capacity as u64);
            let bound = program.bind(&bindings, None).unwrap();
            let states: u64 = bound.state_bytes.iter().sum();
            let arguments: u64 = bound.argument_bytes.iter().sum();

            let mut session = compiled.session(capacity).unwrap();
            session.feed(&vec![1; batch * tokens], batch).unwrap();
            let runtime = session.runtime();
            assert_eq!(runtime.peak_arena_bytes(), bound.arena_bytes());
            assert_eq!(runtime.allocated_bytes(), bound.arena_bytes() + states + arguments);

            let config = compiled.config();
            let cached = config.layers * 2 * batch * config.kv_heads * capacity * config.head_dim;
            assert_eq!(states, 4 * cached as u64);
            // A smaller run takes no more.
            session.reset();
            session.feed(&vec![1; batch], batch).unwrap();
            let again = session.runtime().allocated_bytes();
            assert_eq!(again, bound.arena_bytes() + states + arguments);
        }
    }
}

/// A session counts a state by the symbol of its growing axis, so plans refuse any other size.
#[test]
fn states_that_no_symbol_counts_are_refused() {
    let graphs = [
        "graph @offset(%k: state f32[P + 1, 4], %x: f32[S, 4]) where S in 1..=8, P in 0..=64 {
  %n = concat %k, %x {axis = 0} : f32[P + S + 1, 4]
  return %n, %n -> %k
}",
        "graph @unequal(%k: state f32[P, 4], %l: state f32[P, 4], %x: f32[S, 4]) \
         where S in 1..=8, P in 0..=64 {
  %n = concat %k, %x {axis = 0} : f32[P + S, 4]
  %m = concat %l, %x, %x {axis = 0} : f32[P + 2*S, 4]
  return %n, %n -> %k, %m -> %l
}",
        "graph @fixed(%k: state f32[P, 4], %l: state f32[P, 4], %x: f32[S, 4]) \
         where S in 1..=8, P in 0..=64 {
  %n = concat %k, %x {axis = 0} : f32[P + S, 4]
  %m = neg %l : f32[P, 4]
  return %n, %n -> %k, %m -> %l
}",
    ];
    for text in graphs {
        let graph = minuend::ir::text::parse(text).unwrap().remove(0);
        let refused = minuend::compile(graph, cpu().target(), &CompileOptions::default());
        let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("expected a symbol alone"), "{error}");
    }
}

/// What is appended may be a part of the cache itself.
#[test]
fn a_cache_may_be_appended_to_itself() {
    let text =
        "graph @again(%k: state f32[2, P, 3], %x: f32[2, 1, 3]) where P in 1..=64 level fused {
  %first = slice %k {axis = 1, end = 1, start = 0, step = 1} : f32[2, 1, 3]
  %n = kv_append %k, %first {axis = 1} : f32[2, P + 1, 3]
  %y = add %first, %x : f32[2, 1, 3]
  return %n, %y, %n -> %k
}";
    let graph = minuend::ir::text::parse(text).unwrap().remove(0);
    let compiled = minuend::compile(graph, cpu().target(), &CompileOptions::default()).unwrap();
    let weights = minuend_tests::weight_table::WeightTable::default();
    let executable = Executable::load(cpu(), compiled.program, &weights).unwrap();
    let mut session = executable.session(16).unwrap();
    let x = HostTensor::from_f32(&[2, 1, 3], &[1.0; 6]).unwrap();
    for rows in 2..6 {
        let outputs = session.run(std::slice::from_ref(&x)).unwrap();
        assert_eq!(outputs[0].to_f32().unwrap(), vec![0.0; 2 * rows * 3]);
        assert_eq!(outputs[1].to_f32().unwrap(), vec![1.0; 6]);
    }
}

/// Outputs come in the order asked for; states go on whichever they are.
#[test]
fn chosen_outputs() {
    let text = "graph @chosen(%k: state f32[P, 3], %x: f32[S, 3]) where P in 0..=64, S in 1..=8 {
  %n = concat %k, %x {axis = 0} : f32[P + S, 3]
  %most = arg_max %n {axis = 0} : i64[3]
  %total = reduce_sum %n {axis = 0} : f32[1, 3]
  return %total, %most, %n -> %k
}";
    let graph = minuend::ir::text::parse(text).unwrap().remove(0);
    let compiled = minuend::compile(graph, cpu().target(), &CompileOptions::default()).unwrap();
    let weights = minuend_tests::weight_table::WeightTable::default();
    let executable = Executable::load(cpu(), compiled.program, &weights).unwrap();
    let mut session = executable.session(16).unwrap();
    let row = |values: [f32; 3]| [HostTensor::from_f32(&[1, 3], &values).unwrap()];
    let total = |values: [f32; 3]| HostTensor::from_f32(&[1, 3], &values).unwrap();
    let most = |values: [i64; 3]| HostTensor::from_i64(&[3], &values).unwrap();

    let error = session.run_for(&row([0.0; 3]), &[1, 2]).unwrap_err();
    assert_eq!(error.to_string(), "output 2 is asked for, the program has 2");
    assert_eq!(session.position(), 0);

    assert_eq!(session.run_for(&row([1.0, 2.0, 3.0]), &[]).unwrap(), []);
    let found = session.run_for(&row([2.0, 2.0, f32::NAN]), &[1]).unwrap();
    assert_eq!(found, [most([1, 0, 0])]);
    let found = session.run_for(&row([3.0, 1.0, f32::INFINITY]), &[1, 1]).unwrap();
    assert_eq!(found, [most([2, 0, 0]), most([2, 0, 0])]);
    session.reset();
    let expected = [total([4.0, 5.0, 6.0]), most([0, 0, 0])];
    assert_eq!(session.run(&row([4.0, 5.0, 6.0])).unwrap(), expected);
    session.reset();
    let found = session.run_for(&row([4.0, 5.0, 6.0]), &[1, 0]).unwrap();
    assert_eq!(found, [expected[1].clone(), expected[0].clone()]);
    assert_eq!(session.position(), 1);
}

/// An argument that was given once can be kept; what is copied to another argument is the last output.
#[test]
fn arguments_are_kept() {
    let text = "graph @kept(%k: state f32[P, 3], %x: f32[S, 3], %y: f32[S, 1])
where P in 0..=64, S in 1..=8 {
  %n = concat %k, %x {axis = 0} : f32[P + S, 3]
  %z = add %x, %y : f32[S, 3]
  return %z, %n -> %k
}";
    let graph = minuend::ir::text::parse(text).unwrap().remove(0);
    let compiled = minuend::compile(graph, cpu().target(), &CompileOptions::default()).unwrap();
    let weights = minuend_tests::weight_table::WeightTable::default();
    let executable = Executable::load(cpu(), compiled.program, &weights).unwrap();
    let mut session = executable.session(16).unwrap();
    let x = HostTensor::from_f32(&[1, 3], &[1.0, 2.0, 3.0]).unwrap();
    let y = HostTensor::from_f32(&[1, 1], &[10.0]).unwrap();
    let error = session.give(&[Input::Host(&x), Input::Kept]).unwrap_err().to_string();
    assert_eq!(error, "argument %y is to be kept, and there is no run before; give it");
    session.give(&[Input::Host(&x), Input::Host(&y)]).unwrap();
    session.give(&[Input::LastOutput(0), Input::Kept]).unwrap();
    assert_eq!(session.read(0).unwrap().to_f32().unwrap(), [21.0, 22.0, 23.0]);
    session.give(&[Input::Kept, Input::Kept]).unwrap();
    assert_eq!(session.read(0).unwrap().to_f32().unwrap(), [21.0, 22.0, 23.0]);
    assert_eq!(session.position(), 3);
    let longer = HostTensor::from_f32(&[2, 3], &[0.0; 6]).unwrap();
    let error = session.give(&[Input::Host(&longer), Input::Kept]).unwrap_err().to_string();
    assert_eq!(error, "argument %y is f32[1, 1], expected f32[S, 1]");
    session.reset();
    assert!(session.give(&[Input::Host(&x), Input::Kept]).is_err());
}

#[test]
fn a_full_session_ends_the_text() {
    let compiled = compiled();
    let mut session = compiled.session(8).unwrap();
    let sampling = minuend::Sampling::greedy();
    let options = minuend::GenerateOptions { max_new_tokens: 50, sampling, eos_ids: vec![] };
    let generation =
        minuend::generate(&mut session, &[1, 2, 3], &options, &mut |_| minuend::Continue::Yes)
            .unwrap();
    assert_eq!(generation.finish, minuend::Finish::Context);
    assert_eq!(generation.token_ids.len(), 6);
}

/// A program bound with the help of an earlier binding is what it is without.
#[test]
fn binding_again_changes_nothing_else() {
    for directory in models::all() {
        let model = Model::open(directory).unwrap();
        let compiled = model.compile(cpu(), LogitRows::Last, &CompileOptions::default()).unwrap();
        let program = compiled.executable().program();
        let bindings = |[batch, tokens, past]: [u64; 3]| {
            let mut bindings = Bindings::new();
            for (name, value) in [("B", batch), ("S", tokens), ("P", past)] {
                bindings.set(program.symbols.id(name).unwrap(), value);
            }
            bindings.set(program.capacity.unwrap(), 64);
            bindings
        };
        let mut last = None;
        let mut shared = 0;
        for sizes in [[1, 7, 0], [1, 1, 7], [1, 1, 8], [2, 1, 8], [2, 1, 9], [2, 3, 9], [1, 1, 7]] {
            let alone = program.bind(&bindings(sizes), None).unwrap();
            let again = program.bind(&bindings(sizes), last.as_ref()).unwrap();
            assert_eq!(again, alone);
            if let Some(last) = &last {
                let old: &minuend::BoundProgram = last;
                let pairs = again.steps.iter().zip(&old.steps);
                shared += pairs.filter(|(new, old)| std::sync::Arc::ptr_eq(new, old)).count();
            }
            last = Some(again);
        }
        assert!(shared > 0, "no step was taken over");
    }
}

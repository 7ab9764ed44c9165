//! What the compiler says of a kernel that it has compiled.
//!
//! The assembler reports, for each function, lines such as
//!
//! ```text
//! ptxas info    : Compiling entry function 'kernel' for 'sm_90a'
//! ptxas info    : Function properties for kernel
//! ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
//! ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem, 380 bytes cmem[0]
//! ```

use libtest_mimic::Trial;

/// Faults in a log: warnings of the assembler, stack frames, spilled registers, too much shared memory in
/// the text, and no report where there must be one.
pub(crate) fn faults(log: &str, entry: &str, most_shared: u32) -> Vec<String> {
    let mut faults = Vec::new();
    for line in log.lines().map(str::trim) {
        // C7510 and its like: products of warpgroups are serialised.
        let is_warning = line.contains("ptxas warning") || line.contains("(C75");
        let in_memory = ["bytes stack frame", "bytes spill stores", "bytes spill loads"];
        if is_warning
            || in_memory.iter().any(|what| number_before(line, what).is_some_and(|n| n > 0))
        {
            faults.push(line.to_string());
        }
        if let Some(bytes) = number_before(line, "bytes smem").filter(|bytes| *bytes > most_shared)
        {
            faults
                .push(format!("{bytes} bytes of shared memory in the text, at most {most_shared}"));
        }
    }
    let is_reported = log.contains(&format!("'{entry}'")) && log.contains("registers");
    if !is_reported {
        faults.push(format!("the log tells nothing of '{entry}': {log}"));
    }
    faults
}

/// The number in front of these words.
fn number_before(line: &str, words: &str) -> Option<u32> {
    let (before, _) = line.split_once(words)?;
    before.split_whitespace().next_back()?.parse().ok()
}

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, log: &'static str, expected: &'static [&str]| {
        Trial::test(format!("log: {name}"), move || {
            let found = faults(log, "kernel", 1024);
            let is_same = found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| found.contains(expected));
            if is_same { Ok(()) } else { Err(format!("{found:?}, expected {expected:?}").into()) }
        })
    };
    vec![
        trial(
            "a sound kernel",
            "ptxas info    : Compiling entry function 'kernel' for 'sm_90a'\n\
             ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n\
             ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem, 380 bytes cmem[0]",
            &[],
        ),
        trial(
            "spills and a stack frame",
            "ptxas info    : Compiling entry function 'kernel' for 'sm_90a'\n\
             ptxas         .     16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads\n\
             ptxas info    : Used 40 registers, 1025 bytes smem",
            &["16 bytes stack frame", "1025 bytes of shared memory"],
        ),
        trial(
            "serialised products",
            "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are \
             serialized in function 'kernel'\n\
             ptxas info    : Used 40 registers",
            &["C7510"],
        ),
        trial("nothing", "", &["tells nothing"]),
    ]
}

//! The opcodes of compiled kernels, as the disassembler spells them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use minuend_runtime_cuda::DIRECTORIES_VARIABLE;

/// The program `nvdisasm`.
pub(crate) struct Disassembler(PathBuf);

impl Disassembler {
    /// Looks beside the CUDA libraries, in the `bin` beside their directory, and where programs are.
    pub(crate) fn find() -> Option<Disassembler> {
        let list = |variable: &str| {
            let value = std::env::var_os(variable).unwrap_or_default();
            std::env::split_paths(&value).collect::<Vec<PathBuf>>()
        };
        let libraries = list(DIRECTORIES_VARIABLE);
        let beside = libraries.iter().flat_map(|lib| [lib.clone(), lib.join("../bin")]);
        let candidates = beside.chain(list("PATH")).chain(["/usr/local/cuda/bin".into()]);
        candidates
            .map(|directory| directory.join("nvdisasm"))
            .find(|path| path.is_file())
            .map(Disassembler)
    }

    /// The instructions of machine code, one on a line.
    pub(crate) fn listing(&self, cubin: &[u8]) -> Result<String, Failed> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("kernel.cubin");
        std::fs::write(&path, cubin)?;
        let output = Command::new(&self.0).arg("--print-code").arg(&path).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The opcodes of a listing with their modifiers: `HMMA.16816.F32`. An instruction is
/// `/*0170*/  @!P0 LDG.E R2, desc[UR4][R2.64] ;`.
fn opcodes(listing: &str) -> BTreeSet<&str> {
    let mut opcodes = BTreeSet::new();
    for line in listing.lines() {
        let Some((_, instruction)) = line.split_once("*/") else { continue };
        let mut words = instruction.split_whitespace().skip_while(|word| word.starts_with('@'));
        let opcode = words.next().map(|word| word.trim_end_matches(';'));
        let is_opcode = |word: &&str| word.starts_with(|first: char| first.is_ascii_uppercase());
        opcodes.extend(opcode.filter(is_opcode));
    }
    opcodes
}

/// Expected opcodes that are not there, and accesses to memory of a thread's own.
pub(crate) fn faults(listing: &str, expected: &[&str]) -> Vec<String> {
    let found = opcodes(listing);
    let mut faults = Vec::new();
    for opcode in
        found.iter().filter(|opcode| opcode.starts_with("LDL") || opcode.starts_with("STL"))
    {
        faults.push(format!("{opcode}: values lie in local memory"));
    }
    for opcode in expected {
        if !found.iter().any(|found| found.starts_with(opcode)) {
            let list: Vec<&str> = found.iter().copied().collect();
            faults.push(format!("no {opcode} among {}", list.join(" ")));
        }
    }
    faults
}

const LISTING: &str = "
	.section	.text.kernel,\"ax\",@progbits
.text.kernel:
        /*0000*/                   LDC R1, c[0x0][0x37c] ;
        /*0010*/              @!P0 HMMA.16816.F32.BF16 R4, R8, R12, R4 ;
        /*0020*/                   STL.64 [R1], R2 ;
        /*0030*/                   EXIT ;
.L_x_0:
";

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str,
                 listing: &'static str,
                 expected: &'static [&str],
                 faults_of: &'static [&str]| {
        Trial::test(format!("code: {name}"), move || {
            let found = faults(listing, expected);
            let is_same = found.len() == faults_of.len()
                && found.iter().zip(faults_of).all(|(found, expected)| found.contains(expected));
            if is_same { Ok(()) } else { Err(format!("{found:?}, expected {faults_of:?}").into()) }
        })
    };
    vec![
        trial("opcodes and local memory", LISTING, &["HMMA.16816.F32", "LDC"], &["STL.64"]),
        trial("a missing opcode", LISTING, &["HGMMA"], &["STL.64", "no HGMMA among"]),
        trial("an empty listing", "", &["EXIT"], &["no EXIT"]),
    ]
}

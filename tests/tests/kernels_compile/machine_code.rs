//! The opcodes of compiled kernels, as the disassembler spells them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use minuend_codegen::cuda::Opcode;
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

/// The opcodes of a listing with their modifiers, `HMMA.16816.F32`, and how often they stand there. An
/// instruction is `/*0170*/  @!P0 LDG.E R2, desc[UR4][R2.64] ;`.
fn opcodes(listing: &str) -> BTreeMap<&str, usize> {
    let mut opcodes = BTreeMap::new();
    for line in listing.lines() {
        let Some((_, instruction)) = line.split_once("*/") else { continue };
        let mut words = instruction.split_whitespace().skip_while(|word| word.starts_with('@'));
        let opcode = words.next().map(|word| word.trim_end_matches(';'));
        let is_opcode = |word: &&str| word.starts_with(|first: char| first.is_ascii_uppercase());
        if let Some(opcode) = opcode.filter(is_opcode) {
            *opcodes.entry(opcode).or_default() += 1;
        }
    }
    opcodes
}

/// Rules that are broken, and accesses to memory of a thread's own.
pub(crate) fn faults(listing: &str, rules: &[Opcode]) -> Vec<String> {
    let found = opcodes(listing);
    let mut faults = Vec::new();
    for opcode in
        found.keys().filter(|opcode| opcode.starts_with("LDL") || opcode.starts_with("STL"))
    {
        faults.push(format!("{opcode}: values lie in local memory"));
    }
    let count = |opcode: &str| -> usize {
        found.iter().filter(|(found, _)| found.starts_with(opcode)).map(|(_, count)| count).sum()
    };
    for rule in rules {
        match *rule {
            Opcode::Present(opcode) if count(opcode) == 0 => {
                let list: Vec<&str> = found.keys().copied().collect();
                faults.push(format!("no {opcode} among {}", list.join(" ")));
            }
            Opcode::Count(opcode, expected) if count(opcode) != expected => {
                faults.push(format!("{} of {opcode}, expected {expected}", count(opcode)));
            }
            Opcode::Absent(opcode) if count(opcode) > 0 => {
                faults.push(format!("{} of {opcode}, expected none", count(opcode)));
            }
            Opcode::Present(_) | Opcode::Count(..) | Opcode::Absent(_) => {}
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
    use Opcode::{Absent, Count, Present};
    let trial = |name: &str,
                 listing: &'static str,
                 rules: &'static [Opcode],
                 faults_of: &'static [&str]| {
        Trial::test(format!("code: {name}"), move || {
            let found = faults(listing, rules);
            let is_same = found.len() == faults_of.len()
                && found.iter().zip(faults_of).all(|(found, expected)| found.contains(expected));
            if is_same { Ok(()) } else { Err(format!("{found:?}, expected {faults_of:?}").into()) }
        })
    };
    vec![
        trial(
            "opcodes and local memory",
            LISTING,
            &[Present("HMMA.16816.F32"), Present("LDC"), Count("EXIT", 1), Absent("HGMMA")],
            &["STL.64"],
        ),
        trial("a missing opcode", LISTING, &[Present("HGMMA")], &["STL.64", "no HGMMA among"]),
        trial("a wrong count", LISTING, &[Count("HMMA", 2)], &["STL.64", "1 of HMMA, expected 2"]),
        trial("a forbidden opcode", LISTING, &[Absent("HMMA")], &["STL.64", "1 of HMMA"]),
        trial("an empty listing", "", &[Present("EXIT")], &["no EXIT"]),
    ]
}

//! One test for every file under `filetests`. `MINUEND_BLESS=1` rewrites expected texts.

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests");
    let bless = std::env::var_os("MINUEND_BLESS").is_some_and(|value| value == "1");
    let arguments = Arguments::from_args();
    let trials = match minuend_filetests::discover(&root) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    let trials = trials.into_iter().map(|path| {
        let name = path.strip_prefix(&root).unwrap_or(&path).with_extension("");
        let name = name.display().to_string().replace('\\', "/");
        Trial::test(name, move || minuend_filetests::run(&path, bless).map_err(Failed::from))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

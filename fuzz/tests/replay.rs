//! Runs every target with its corpus, without a fuzzer.

use std::fs;
use std::path::Path;

use longhand_fuzz::TARGETS;

#[test]
fn every_target_stands_its_corpus() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let inputs: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(inputs.len() >= 10, "{} inputs in {}", inputs.len(), folder.display());
        for input in inputs {
            // So that the output of a failing test ends with the name of the input.
            println!("{}", input.display());
            target(&fs::read(&input).unwrap());
        }
    }
}

//! What the functions called in the whole suite is what their roles allow.

use std::collections::BTreeSet;
use std::fs;

use longhand_tests::calls::{Recorded, folder};

use crate::access::iam::assert_equal;
use crate::access::iam::granted::Roles;
use crate::operate::runtime::skip;

#[test]
fn suite_calls_equal_roles() {
    let Some(folder) = folder() else {
        return skip("LONGHAND_RECORDINGS must name the folder that the whole suite was recorded into.").unwrap_or_default();
    };
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files: Vec<String> = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let lines = files.iter().flat_map(|file| file.lines());
    let recorded: BTreeSet<Recorded> =
        lines.map(|line| Recorded::read(line).unwrap_or_else(|| panic!("no call: {line:?}"))).collect();
    println!("{} processes made {} different calls", files.len(), recorded.len());
    assert_equal(&recorded, &Roles::of_product());
}

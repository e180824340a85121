//! What `sam build` makes for the template's default architecture, which is not that of the machines on which this was written: the
//! artefacts themselves, and every function under QEMU.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use longhand_local::Script;
use longhand_tests::serial::turn;
use tempfile::TempDir;

use super::cold_start::{ARCHIVE_BYTES_MAX, archive_bytes};
use super::rie::{Bench, assert_samples_do_the_main_job};
use super::tools::{self, executable_in_path, skip};

/// `e_machine` of a 64-bit ARM processor in the header of an ELF file.
const AARCH64: [u8; 2] = 183_u16.to_le_bytes();
/// The C library of `provided.al2023`.
const GLIBC_MINOR_MAX: u32 = 34;
/// Where Debian's `libc6-arm64-cross` puts the libraries of that architecture.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";

/// The binary of each function by its logical id, as the built template names them.
fn built(folder: &Path) -> BTreeMap<String, PathBuf> {
    let template = fs::read_to_string(folder.join("template.yaml")).unwrap();
    let template: serde_norway::Value = serde_norway::from_str(&template).unwrap();
    let resources = template["Resources"].as_mapping().unwrap();
    let functions = resources.iter().filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function");
    let binary =
        |function: &serde_norway::Value| folder.join(function["Properties"]["CodeUri"].as_str().unwrap()).join("bootstrap");
    functions.map(|(id, function)| (id.as_str().unwrap().to_owned(), binary(function))).collect()
}

/// The newest version of the C library that a binary asks for: the minor number, in the names of its symbols' versions.
fn glibc_minor(binary: &[u8]) -> Option<u32> {
    const PREFIX: &[u8] = b"GLIBC_2.";
    let versions = binary.windows(PREFIX.len() + 2).filter(|window| window.starts_with(PREFIX));
    let minors =
        versions.filter_map(|window| std::str::from_utf8(&window[PREFIX.len()..]).ok()?.trim_end_matches('\0').parse().ok());
    minors.max()
}

#[test]
fn sam_build_makes_one_small_binary_for_arm64() {
    let Some((folder, _)) = tools::sam_build() else { return };
    let binaries = built(&folder);
    assert_eq!(binaries.len(), longhand_functions::handlers().count(), "{binaries:?}");
    let first = binaries.values().next().unwrap();
    assert_eq!(tools::fault(first), None);
    let bytes = fs::read(first).unwrap();
    for (function, binary) in &binaries {
        assert!(fs::read(binary).unwrap() == bytes, "{function} has another binary than the others");
    }
    assert_eq!((&bytes[..5], &bytes[18..20]), (&b"\x7fELF\x02"[..], &AARCH64[..]), "a 64-bit ELF file for AArch64");
    let glibc = glibc_minor(&bytes).expect("the versions of the C library's symbols");
    assert!(glibc <= GLIBC_MINOR_MAX, "needs glibc 2.{glibc}; provided.al2023 has 2.{GLIBC_MINOR_MAX}");
    let archive = archive_bytes(first);
    println_size(bytes.len(), archive);
    assert!(archive <= ARCHIVE_BYTES_MAX, "the archive has {archive} bytes, more than {ARCHIVE_BYTES_MAX}");
}

#[expect(clippy::print_stdout, reason = "the figure")]
fn println_size(binary: usize, archive: usize) {
    println!("arm64: binary {binary} bytes, archive {archive} bytes");
}

/// A script in `folder` that runs `program` under QEMU. The emulator of Lambda starts the function by itself, and so needs an executable.
fn under_qemu(folder: &TempDir, name: &str, qemu: &Path, program: &Path) -> PathBuf {
    let script = folder.path().join(name);
    fs::write(&script, format!("#!/bin/sh\nexec '{}' -L {SYSROOT} '{}' \"$@\"\n", qemu.display(), program.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn arm64_functions_do_the_main_job() {
    let _turn = turn().await;
    let Some((folder, rie)) = tools::sam_build() else { return };
    let Some(qemu) = executable_in_path("qemu-aarch64").filter(|_| Path::new(SYSROOT).is_dir()) else {
        skip::<()>("Debian's qemu-user, libc6-arm64-cross and libgcc-s1-arm64-cross are not installed");
        return;
    };
    let bootstrap = built(&folder).remove("StreamFunction").unwrap();
    let scripts = tempfile::tempdir().unwrap();
    let programs = [("bootstrap", &bootstrap), ("rie", &rie)];
    let [bootstrap, rie] = programs.map(|(name, program)| under_qemu(&scripts, name, &qemu, program));
    let script = Script::recorded().unwrap();
    let text = script.text();
    let bench = Bench::with((bootstrap, rie), script, &[]).await;
    assert_samples_do_the_main_job(bench, &text).await;
}

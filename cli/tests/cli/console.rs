//! `longhand console`, and the address that `longhand dev` prints.

use std::fs;

use reqwest::StatusCode;

use super::keys::{dev, longhand};

/// The address without its token, and the token.
fn parts(address: &str) -> (&str, &str) {
    address.trim().split_once("#token=").unwrap()
}

#[tokio::test]
async fn printed_addresses_lead_to_the_console_and_only_read() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, place) = dev(folder.path(), &[]);
    let stdout = fs::read_to_string(folder.path().join("stdout")).unwrap();
    let of_dev = stdout.lines().find_map(|line| line.strip_prefix("console: ")).unwrap();
    let (made, of_command, told) = longhand(folder.path(), None, &["console", "--data", "data"]);
    assert!(made, "{told}");
    let url = place["url"].as_str().unwrap().trim_end_matches('/');
    let http = reqwest::Client::new();
    for address in [of_dev, &of_command] {
        let (page, token) = parts(address);
        assert_eq!(page, format!("{url}/console/"));
        let text = http.get(page).send().await.unwrap().error_for_status().unwrap().text().await.unwrap();
        assert!(text.contains("<title>Longhand</title>"), "{text}");
        let list = http.get(format!("{url}/v1/generations")).bearer_auth(token);
        assert_eq!(list.send().await.unwrap().status(), StatusCode::OK);
        let start = http.post(format!("{url}/v1/generations")).bearer_auth(token).body("{}");
        assert_eq!(start.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    }
    let (_, bare, _) = longhand(folder.path(), None, &["console", "--data", "data", "--no-token"]);
    assert_eq!(bare.trim(), format!("{url}/console/"));
}

#[test]
fn without_keys_the_console_needs_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, place) = dev(folder.path(), &["--no-auth"]);
    let stdout = fs::read_to_string(folder.path().join("stdout")).unwrap();
    let url = place["url"].as_str().unwrap().trim_end_matches('/');
    assert!(stdout.contains(&format!("console: {url}/console/\n")), "{stdout}");
}

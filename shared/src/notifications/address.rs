//! Where a delivery may go. Whoever may create an endpoint chooses its address, so none but public addresses are connected to.
//!
//! A check of a name before the call would have a gap: the name may lead elsewhere when it is looked up again. So a URL is checked for
//! what stands in it, and the addresses of a name as they are connected to ([`crate::receivers`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use crate::limits::WEBHOOK_URL_BYTES_MAX;

/// The ports of TLS that a receiver may have.
const PORTS: [u16; 2] = [443, 8443];

/// Which doors are open beside those of public addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Doors {
    /// Loopback addresses, also without TLS. For a laptop, where the receiver is another program.
    pub loopback: bool,
    /// Any port. Loopback has any port.
    pub any_port: bool,
}

/// The address of a receiver: `https`, a public name or address, no user, and one of two ports.
///
/// # Errors
/// One sentence: what was expected.
pub fn receiver(text: &str, doors: Doors) -> Result<Url, String> {
    if text.len() > WEBHOOK_URL_BYTES_MAX {
        return Err(format!("must have at most {WEBHOOK_URL_BYTES_MAX} bytes"));
    }
    let url: Url = text.parse().map_err(|error| format!("must be a URL like https://example.com/hook: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not name a user or a password".into());
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("must name a host")?;
    let address = literal(host);
    let is_loopback = address.map_or_else(|| is_localhost(host), is_loopback);
    if is_loopback && doors.loopback {
        let is_http = ["http", "https"].contains(&url.scheme());
        return if is_http { Ok(url) } else { Err("must begin with http:// or https://".into()) };
    }
    if url.scheme() != "https" {
        return Err("must begin with https://".into());
    }
    if is_loopback || address.is_some_and(|address| !is_public(address)) {
        return Err("must lead to a public address".into());
    }
    if !doors.any_port && !PORTS.contains(&url.port_or_known_default().unwrap_or_default()) {
        return Err("must have port 443 or 8443".into());
    }
    Ok(url)
}

/// Whether an address may be connected to.
#[must_use]
pub fn is_allowed(address: IpAddr, doors: Doors) -> bool {
    is_public(address) || doors.loopback && is_loopback(address)
}

/// The address that a URL's host is. The parser of URLs has turned every spelling of one into the plainest.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.trim_end_matches('.').parse().ok()
}

fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost")
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback() || address.to_ipv4_mapped().is_some_and(|inner| inner.is_loopback()),
    }
}

/// Whether an address is of the public internet, by the special-purpose registries of IANA
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>, <https://www.iana.org/assignments/iana-ipv6-special-registry>).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

#[expect(clippy::unnested_or_patterns, reason = "one block of addresses a line")]
const fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127, ..]
            | [100, 64..=127, ..]
            // With 169.254.169.254 and 169.254.170.2, where clouds keep a machine's credentials.
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            | [198, 18..=19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            | [224..=255, ..]
    )
}

#[expect(clippy::unnested_or_patterns, reason = "one block of addresses a line")]
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Mapped, and translated (RFC 6052), and 6to4: what is within decides.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            embedded(high, low)
        }
        // Unspecified, loopback, and the old form of mapped; the local use of RFC 6052; discard; protocol assignments with Teredo;
        // documentation, twice; segment routing; unique local; link local and site local; multicast.
        [0, 0, 0, 0, 0, 0, ..]
        | [0x64, 0xff9b, ..]
        | [0x100, 0, 0, _, ..]
        | [0x2001, 0..=0x1ff, ..]
        | [0x2001, 0xdb8, ..]
        | [0x3fff, 0..=0xfff, ..]
        | [0x5f00, ..]
        | [0xfc00..=0xfdff, ..]
        | [0xfe80..=0xfeff, ..]
        | [0xff00..=0xffff, ..] => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLOSED: Doors = Doors { loopback: false, any_port: false };
    const LAPTOP: Doors = Doors { loopback: true, any_port: false };

    #[test]
    fn public_addresses_pass_and_special_ones_do_not() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }

    #[test]
    fn a_receiver_is_public_and_has_tls_but_on_a_laptop() {
        for good in [
            "https://example.com/hook?x=1",
            "https://example.com:8443/",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
            "https://ñ.example/",
        ] {
            assert!(receiver(good, CLOSED).is_ok(), "{good}");
        }
        let long = format!("https://example.com/{}", "x".repeat(WEBHOOK_URL_BYTES_MAX));
        for (wrong, why) in [
            ("example.com", "must be a URL"),
            ("ftp://example.com/", "https://"),
            ("http://example.com/", "https://"),
            ("https://a@example.com/", "user"),
            ("https://:b@example.com/", "password"),
            ("https://example.com:22/", "port"),
            ("https://localhost/", "public"),
            ("https://a.localhost./", "public"),
            ("https://2130706433/", "public"),
            ("https://0x7f.1/", "public"),
            ("https://0177.0.0.1/", "public"),
            ("https://[::ffff:10.0.0.1]/", "public"),
            ("https://169.254.169.254./", "public"),
            (&long, "bytes"),
        ] {
            let refused = receiver(wrong, CLOSED).unwrap_err();
            assert!(refused.contains(why), "{wrong}: {refused}");
        }
        for own in ["http://127.0.0.1:8080/", "http://localhost:1/", "https://[::1]/"] {
            assert!(receiver(own, LAPTOP).is_ok(), "{own}");
        }
        for other in ["http://10.0.0.1/", "http://example.com/", "ftp://127.0.0.1/", "https://169.254.169.254/"] {
            assert!(receiver(other, LAPTOP).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_special_address_is_a_receiver(octets: [u8; 4], form in 0_u8..6) {
            let address = Ipv4Addr::from(octets);
            let number = u32::from(address);
            let [a, b, c, d] = octets;
            let host = match form {
                0 => address.to_string(),
                1 => number.to_string(),
                2 => format!("0x{number:x}"),
                3 => format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
                4 => format!("[::ffff:{address}]"),
                _ => format!("{a}.{}", number & 0x00ff_ffff),
            };
            prop_assert_eq!(receiver(&format!("https://{host}/"), CLOSED).is_ok(), is_public(address.into()), "{}", host);
        }
    }
}

//! E-mail: which addresses it may go to, and what it says. Amazon SES makes the message of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Notification;

/// How the address of an endpoint that is a mailbox begins (RFC 6068).
pub const SCHEME: &str = "mailto:";
/// A path of SMTP has 256 characters, brackets included (RFC 5321, section 4.5.3.1.3).
const ADDRESS_CHARS_MAX: usize = 254;
/// RFC 5321, section 4.5.3.1.1.
const LOCAL_CHARS_MAX: usize = 64;
/// RFC 1035, section 2.3.4.
const LABEL_CHARS_MAX: usize = 63;
/// What an address may have before its `@`, beside letters, digits and single dots: all of RFC 5322's atoms but for what is escaped in a URL.
const ATOM: &[u8] = b"!#$'*+-=^_`{|}~";
const SUBJECT_CHARS_MAX: usize = 200;

/// An address as mail servers everywhere take it: ASCII, one `@`, a name of at least two labels behind it.
///
/// # Errors
/// One sentence: what was expected.
pub fn address(text: &str) -> Result<&str, String> {
    if text.len() > ADDRESS_CHARS_MAX {
        return Err(format!("must have an address of at most {ADDRESS_CHARS_MAX} characters"));
    }
    if !text.is_ascii() {
        return Err("must have an address of ASCII characters; write other domains with `xn--`".into());
    }
    let (local, domain) = text.rsplit_once('@').ok_or("must have an address like ada@example.com")?;
    let is_atom = |atom: &str| !atom.is_empty() && atom.bytes().all(|byte| byte.is_ascii_alphanumeric() || ATOM.contains(&byte));
    if local.len() > LOCAL_CHARS_MAX || !local.split('.').all(is_atom) {
        return Err(format!(
            "must have 1 to {LOCAL_CHARS_MAX} letters, digits, single dots or {} before the `@`",
            String::from_utf8_lossy(ATOM)
        ));
    }
    let is_label = |label: &str| {
        let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=LABEL_CHARS_MAX).contains(&label.len())
            && label.bytes().all(is_inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = domain.contains('.') && domain.split('.').all(is_label);
    // The last label of an address of the internet has letters.
    let ends_in_number = domain.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if is_name && !ends_in_number {
        Ok(text)
    } else {
        Err("must have the name of a domain behind the `@`, like example.com".into())
    }
}

/// What the address of an endpoint that is a mailbox must be.
///
/// # Errors
/// One sentence: what was expected.
pub fn mailbox(url: &str) -> Result<&str, String> {
    address(url.strip_prefix(SCHEME).ok_or("must be `mailto:` and an address, like mailto:ada@example.com")?)
}

/// A mail, as it lies in its delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

impl Mail {
    /// What is told of an event: in a sentence, with the path of what it is about. No name that a caller chose begins a line or ends one.
    #[must_use]
    pub fn new(notification: &Notification, sentence: &str, link: Option<&str>) -> Self {
        let sentence = one_line(sentence);
        let details = link.map(|link| format!("Details: {} of the API\n", one_line(link))).unwrap_or_default();
        let text = format!(
            "{sentence}\n\nOrganization: {}\nTime: {}\n{details}Event: {} {}\n",
            notification.organization, notification.at, notification.event, notification.id
        );
        Self { subject: cut(&sentence), text }
    }

    /// The body of SES's `SendEmail`, version 2
    /// (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>). The receiver may get an event twice, and knows it by the
    /// header.
    #[must_use]
    pub fn request(&self, from: &str, to: &str, event: &str) -> Value {
        let text = |text: &str| json!({ "Data": text, "Charset": "UTF-8" });
        json!({
            "FromEmailAddress": from,
            "Destination": { "ToAddresses": [to] },
            "Content": { "Simple": {
                "Subject": text(&self.subject),
                "Body": { "Text": text(&self.text) },
                "Headers": [{ "Name": "X-Longhand-Event", "Value": event }],
            } },
        })
    }
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() || ['\u{2028}', '\u{2029}'].contains(&letter) { ' ' } else { letter })
        .collect()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SUBJECT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::notifications::EventType;
    use crate::notifications::notify::Notify;

    #[test]
    fn addresses_are_plain_ones() {
        for good in ["ada@example.com", "a.b+c@mail.example.co.uk", "o'brien@xn--exmple-cua.com", "x@a-b.museum", "a@1.example"] {
            assert_eq!(mailbox(&format!("mailto:{good}")), Ok(good));
        }
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}.com", ["b"; 126].join("."));
        for wrong in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@example..com",
            "ada@.example.com",
            "ada@-a.com",
            "ada@a-.com",
            "a..b@example.com",
            ".a@example.com",
            "a.@example.com",
            "a b@example.com",
            "a@exam ple.com",
            "a@b@example.com",
            "ñ@example.com",
            "ada@ejemplo.españa",
            "ada@example.com\r\nBcc: eve@example.com",
            "ada@example.com\n",
            "ada\0@example.com",
            "ada@127.0.0.1",
            "ada@[127.0.0.1]",
            "Ada <ada@example.com>",
            "\"ada\"@example.com",
            "ada@example.com,eve@example.com",
            "ada@example.com?bcc=eve@example.com",
            "ada%0aBcc:@example.com",
            "(c)ada@example.com",
            &long,
            &longer,
            &format!("a@{}.com", "b".repeat(64)),
        ] {
            assert!(mailbox(&format!("mailto:{wrong}")).is_err(), "{wrong:?}");
        }
        for wrong in ["ada@example.com", "MAILTO:ada@example.com", "https://example.com/hook", "mailto://ada@example.com"] {
            assert!(mailbox(wrong).is_err(), "{wrong}");
        }
    }

    fn mail(sentence: &str, link: &str) -> Mail {
        let organization = "acme".parse().unwrap();
        let event = EventType::BatchCompleted;
        let data = serde_json::Map::new();
        let happened = Notification::new(&organization, event, "bat_1", 1_795_253_400_123, data, &Notify::default());
        Mail::new(&happened, sentence, Some(link))
    }

    #[test]
    fn a_mail_says_what_has_happened_in_words() {
        let mail = mail("The batch “Informe de año” has ended.", "/v1/batches/bat_1");
        assert_eq!(mail.subject, "The batch “Informe de año” has ended.");
        assert!(mail.text.starts_with(&format!("{}\n\nOrganization: acme\nTime: 2026-11-21T09:30:00.123Z\n", mail.subject)));
        assert!(mail.text.contains("\nDetails: /v1/batches/bat_1 of the API\nEvent: batch.completed evt_"), "{}", mail.text);
        let request = mail.request("longhand@example.com", "ada@example.com", "evt_1");
        assert_eq!(request["Content"]["Simple"]["Subject"]["Data"], mail.subject.as_str());
        assert_eq!(request["Destination"], json!({ "ToAddresses": ["ada@example.com"] }));
    }

    proptest! {
        #[test]
        fn no_name_makes_a_line_of_its_own(name in "\\PC{0,3}[\r\n\u{b}\u{85}\u{2028}\0]{0,3}.{0,300}") {
            let mail = mail(&format!("The batch “{name}” has ended."), &name);
            prop_assert!(!mail.subject.contains(char::is_control), "{:?}", mail.subject);
            prop_assert!(mail.subject.chars().count() <= SUBJECT_CHARS_MAX + 1);
            prop_assert_eq!(mail.text.lines().count(), 6);
        }

        #[test]
        fn whatever_is_an_address_has_no_character_that_a_header_or_a_list_is_made_of(text in "[a-z@.<>,;:\\\\\" \r\n\t()%?&é-]{0,20}") {
            if address(&text).is_ok() {
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@.-".contains(&byte)), "{}", text);
            }
        }
    }
}

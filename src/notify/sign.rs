//! How messages are signed. Pure.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The value of `webhook-signature`.
///
/// Source: "Standard Webhooks", section "Signature scheme": HMAC-SHA256 over `{id}.{timestamp}.{body}` in Base64, behind
/// `v1,`. `timestamp`: whole seconds since 1970.
pub fn standard_webhook(key: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let text = format!("{id}.{timestamp}.{body}");
    format!("v1,{}", hmac(key, text.as_bytes()))
}

/// The parameter `sign` of DingTalk, before it is encoded for a URL. `timestamp`: milliseconds since 1970, which may be
/// an hour off.
///
/// Source: DingTalk, "Custom robots", section "Security settings": the secret is the key, and the text is the time, a
/// line feed and the secret.
pub fn dingtalk(secret: &str, timestamp: i64) -> String {
    hmac(
        secret.as_bytes(),
        format!("{timestamp}\n{secret}").as_bytes(),
    )
}

/// The member `sign` of Feishu. `timestamp`: whole seconds since 1970, which may be an hour off.
///
/// Source: Feishu, "Use custom bots in a group", section "Signature verification": the time, a line feed and the secret
/// are the key, and the text is empty.
pub fn feishu(secret: &str, timestamp: i64) -> String {
    hmac(format!("{timestamp}\n{secret}").as_bytes(), b"")
}

fn hmac(key: &[u8], text: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mut mac| {
        mac.update(text);
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    });
    mac.unwrap_or_default() // HMAC takes a key of any length (RFC 2104).
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the Standard Webhooks libraries' own tests.
    #[test]
    fn a_webhook_is_signed_as_the_standard_signs_it() {
        let key = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", r#"{"test": 2432232314}"#);
        assert_eq!(
            standard_webhook(&key.unwrap(), id, 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    /// By the Python code of DingTalk's page, whose secret is `this is secret`.
    #[test]
    fn dingtalk_is_signed_as_its_page_does() {
        assert_eq!(dingtalk("this is secret", 1_577_262_236_757), DINGTALK);
    }

    /// The example of Feishu's page: its secret is `demo`.
    #[test]
    fn feishu_is_signed_as_its_page_does() {
        assert_eq!(feishu("demo", 1_599_360_473), FEISHU);
    }

    const DINGTALK: &str = "hmPWwU+7lVdm3ZZz0r9tSfx0L4Q26jWOZr9+Gs6EZQM=";
    const FEISHU: &str = "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=";
}

//! Reads and writes auth.json, the stored login.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::config::credentials::{LoginMode, StoredLogin, StoredTokens};
use crate::config::providers::{Secret, checked_token};
use crate::host::disk::replacing::{Readers, replace};
use crate::host::disk::{Failure, read_whole};
use crate::limits::AUTH_FILE_BYTES_MAX;

/// The login stored in the home; `None` if there is none.
pub fn read(home: &Path) -> Result<Option<StoredLogin>, Failure> {
    let path = home.join("auth.json");
    let failed = |source| Failure::new("read the login", &path, source);
    let Some(bytes) = read_whole(&path, AUTH_FILE_BYTES_MAX).map_err(failed)? else {
        return Ok(None);
    };
    // The error of the parser may quote what it met: a secret. Its place is enough.
    let document: Value = serde_json::from_slice(&bytes)
        .map_err(|error| failed(io::Error::other(format!("not JSON, at line {}", error.line()))))?;
    Ok(Some(decode(&document)))
}

/// Stores a key as the login that counts. Another login goes; fields nobody here knows stay.
pub fn store_key(home: &Path, key: &Secret) -> Result<(), Failure> {
    let path = home.join("auth.json");
    let failed = |source| Failure::new("read the login", &path, source);
    let bytes = read_whole(&path, AUTH_FILE_BYTES_MAX).map_err(failed)?;
    // What is no login is nothing to keep.
    let known = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut fields = match known {
        Some(Value::Object(fields)) => fields,
        Some(_) | None => serde_json::Map::new(),
    };
    for old in ["tokens", "last_refresh"] {
        fields.remove(old);
    }
    fields.insert("OPENAI_API_KEY".to_owned(), key.expose().into());
    fields.insert("auth_mode".to_owned(), "apikey".into());
    replace(&path, &format!("{:#}\n", Value::Object(fields)), Readers::Owner)
}

/// Takes the stored login away, if there is one.
pub fn remove(home: &Path) -> Result<(), Failure> {
    let path = home.join("auth.json");
    let target = path.canonicalize();
    // A link goes with what it leads to, which holds the secrets.
    for path in [target.as_deref().unwrap_or(&path), &path] {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::new("remove the login", path, error)),
        }
    }
    Ok(())
}

/// Takes what is usable; whatever else the file holds belongs to other versions.
fn decode(document: &Value) -> StoredLogin {
    let secret = |value: &Value| value.as_str().and_then(checked_token);
    let mode = match document["auth_mode"].as_str() {
        Some("apikey") => Some(LoginMode::ApiKey),
        Some("chatgpt") => Some(LoginMode::ChatGpt),
        Some(_) | None => None,
    };
    let tokens = &document["tokens"];
    let account_id = tokens["account_id"].as_str().and_then(checked_token);
    let tokens = secret(&tokens["access_token"]).map(|access| StoredTokens {
        access,
        id: tokens["id_token"].as_str().map(Secret::new),
        refresh: tokens["refresh_token"].as_str().map(Secret::new),
        account_id: account_id.map(|id| id.expose().into()),
    });
    StoredLogin { mode, api_key: secret(&document["OPENAI_API_KEY"]), tokens }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::tests::Place;

    fn login(text: &str) -> Result<Option<StoredLogin>, Failure> {
        let place = Place::new();
        place.file("auth.json", text);
        read(place.path())
    }

    #[test]
    fn keys_and_tokens_are_read() {
        let key = login(r#"{"OPENAI_API_KEY":"sk-1"}"#).expect("read").expect("there");
        assert_eq!(key.api_key, Some(Secret::new("sk-1")));
        assert_eq!(key.effective_mode(), Some(LoginMode::ApiKey));
        let text = r#"{"OPENAI_API_KEY":null,"auth_mode":"chatgpt","future":[1],
            "tokens":{"id_token":"i","access_token":"a","refresh_token":"r","account_id":"c"},
            "last_refresh":"2025-11-07T10:00:00.000000000Z"}"#;
        let chat = login(text).expect("read").expect("there");
        assert_eq!(chat.effective_mode(), Some(LoginMode::ChatGpt));
        let tokens = chat.tokens.expect("tokens");
        assert_eq!(tokens.access, Secret::new("a"));
        assert_eq!(tokens.refresh, Some(Secret::new("r")));
        assert_eq!(tokens.account_id.as_deref(), Some("c"));
    }

    #[test]
    fn what_is_not_a_login_is_none() {
        assert!(read(Place::new().path()).expect("read").is_none());
        for text in ["{}", "[]", "null", r#"{"OPENAI_API_KEY":"","tokens":{"access_token":1}}"#] {
            let login = login(text).expect("read").expect("there");
            assert_eq!(login.effective_mode(), None, "{text}");
        }
        let header = login(r#"{"OPENAI_API_KEY":"a\r\nb"}"#).expect("read").expect("there");
        assert_eq!(header.api_key, None);
    }

    #[test]
    fn broken_and_oversized_files_are_failures_that_show_no_secret() {
        let message = login("{\"OPENAI_API_KEY\": sk-secret}").expect_err("broken").to_string();
        assert!(message.contains("auth.json: not JSON, at line 1"), "{message}");
        assert!(!message.contains("secret"));
        assert!(login(&" ".repeat(AUTH_FILE_BYTES_MAX + 1)).is_err());
    }
}

//! Who answers for a model: the built-in providers and those of `[model_providers]`.
//!
//! Pure: the environment is lent. A provider that exists has a usable address, headers and bounds;
//! it does not hold the stored login, which `credentials` adds when it is known.

use std::fmt;

use crate::config::layers::Layers;
use crate::config::{ConfigError, Env, env_text, models};
use crate::limits::{
    CONFIG_ENTRIES_MAX, HEADER_TEXT_BYTES_MAX, RETRIES_CONFIGURED_MAX, STREAM_IDLE_MS_MAX,
};

/// Where requests go and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Provider {
    /// Its key in the configuration.
    pub id: Box<str>,
    /// What people call it.
    pub name: Box<str>,
    /// Without a slash at the end; empty for recordings.
    pub base_url: Box<str>,
    /// The address for a ChatGPT login, where that differs.
    pub chatgpt_url: Option<Box<str>>,
    pub wire: Wire,
    /// The environment variable that holds the key.
    pub env_key: Option<Box<str>>,
    pub env_key_instructions: Option<Box<str>>,
    pub bearer_token: Option<Secret>,
    /// Header names and values, sent as they are.
    pub headers: Vec<(Box<str>, Secret)>,
    pub query_params: Vec<(Box<str>, Box<str>)>,
    pub request_retries_max: u32,
    pub stream_retries_max: u32,
    pub idle_ms: u64,
    /// Uses the stored login.
    pub requires_openai_auth: bool,
    pub is_azure: bool,
}

/// What a provider speaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wire {
    Responses,
    Chat,
    /// Answers come from a recording; `None` is the one in the binary.
    Replay {
        path: Option<Box<str>>,
    },
}

/// Text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    pub fn new(text: impl Into<Box<str>>) -> Secret {
        Secret(text.into())
    }

    /// The text itself; for headers, and for keeping it out of recordings.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(secret)")
    }
}

/// The provider that is asked when nobody names one.
pub const DEFAULT_PROVIDER: &str = "openai";
/// The provider of the embedded recording.
pub const DEMO_PROVIDER: &str = "demo";

const OPENAI_URL: &str = "https://api.openai.com/v1";
const CHATGPT_URL: &str = "https://chatgpt.com/backend-api/codex";
const REQUEST_RETRIES: u64 = 4;
const STREAM_RETRIES: u64 = 5;
const IDLE_MS: u64 = 300_000;

impl Provider {
    /// The provider of this id.
    pub fn find(id: &str, layers: &Layers, env: Env<'_>) -> Result<Provider, ConfigError> {
        match id {
            "openai" => openai(layers, env),
            "ollama" | "oss" => local(id, "Ollama", 11434, env),
            "lmstudio" => local(id, "LM Studio", 1234, env),
            _ => configured(id, layers, env),
        }
    }

    /// The provider that answers from the recording in the binary.
    pub fn demo() -> Provider {
        let mut provider = bare(DEMO_PROVIDER, "demo");
        provider.wire = Wire::Replay { path: None };
        provider
    }

    /// Whether a table of this id in the configuration is ignored.
    pub fn is_built_in(id: &str) -> bool {
        matches!(id, "openai" | "ollama" | "oss" | "lmstudio")
    }

    /// Whether it is one of the model servers that `--oss` means.
    pub fn is_local(&self) -> bool {
        matches!(&*self.id, "ollama" | "oss" | "lmstudio")
    }

    /// The model to ask for when nobody names one.
    pub fn default_model(&self) -> &'static str {
        match &*self.id {
            "ollama" | "oss" => models::DEFAULT_MODEL_OLLAMA,
            "lmstudio" => models::DEFAULT_MODEL_LMSTUDIO,
            _ => models::DEFAULT_MODEL,
        }
    }
}

fn bare(id: &str, name: &str) -> Provider {
    Provider {
        id: id.into(),
        name: name.into(),
        base_url: "".into(),
        chatgpt_url: None,
        wire: Wire::Responses,
        env_key: None,
        env_key_instructions: None,
        bearer_token: None,
        headers: Vec::new(),
        query_params: Vec::new(),
        request_retries_max: REQUEST_RETRIES as u32,
        stream_retries_max: STREAM_RETRIES as u32,
        idle_ms: IDLE_MS,
        requires_openai_auth: false,
        is_azure: false,
    }
}

fn openai(layers: &Layers, env: Env<'_>) -> Result<Provider, ConfigError> {
    let mut provider = bare(DEFAULT_PROVIDER, "OpenAI");
    let key = ["openai_base_url"];
    let configured = layers.text(&key).filter(|url| !url.trim().is_empty());
    let url = match configured {
        Some(url) => Some(checked_url(url).map_err(|why| layers.wrong(&key, &why))?),
        None => match env_text(env, "OPENAI_BASE_URL") {
            Some(url) => Some(
                checked_url(&url)
                    .map_err(|why| ConfigError::new(format!("OPENAI_BASE_URL: {why}")))?,
            ),
            None => None,
        },
    };
    if url.is_none() {
        provider.chatgpt_url = Some(CHATGPT_URL.into());
    }
    provider.base_url = url.unwrap_or_else(|| OPENAI_URL.into());
    provider.requires_openai_auth = true;
    provider.headers.push(("version".into(), Secret::new(env!("CARGO_PKG_VERSION"))));
    let named =
        [("OpenAI-Organization", "OPENAI_ORGANIZATION"), ("OpenAI-Project", "OPENAI_PROJECT")];
    for (header, variable) in named {
        push_env_header(&mut provider, header, variable, env)?;
    }
    Ok(provider)
}

/// A server on this machine; both kinds speak Responses.
fn local(id: &str, name: &str, port: u16, env: Env<'_>) -> Result<Provider, ConfigError> {
    let mut provider = bare(id, name);
    let wrong = |variable: &str, why: &str| ConfigError::new(format!("{variable}: {why}"));
    provider.base_url = match env_text(env, "CODEX_OSS_BASE_URL") {
        Some(url) => checked_url(&url).map_err(|why| wrong("CODEX_OSS_BASE_URL", &why))?,
        None => {
            let port = match env_text(env, "CODEX_OSS_PORT") {
                None => port,
                Some(port) => port
                    .trim()
                    .parse()
                    .map_err(|_| wrong("CODEX_OSS_PORT", "not a number of a port"))?,
            };
            format!("http://localhost:{port}/v1").into()
        }
    };
    Ok(provider)
}

/// A provider of `[model_providers]`.
fn configured(id: &str, layers: &Layers, env: Env<'_>) -> Result<Provider, ConfigError> {
    let table = ["model_providers", id];
    if layers.find(&table).is_none() {
        let others = layers.names(&["model_providers"]).join(", ");
        let others = if others.is_empty() { "none".to_owned() } else { others };
        let why = format!(
            "there is no provider {id:?}; built in: openai, ollama, lmstudio; configured: {others}"
        );
        return Err(layers.wrong(&["model_provider"], &why));
    }
    let path = |key| [table[0], table[1], key];
    let text = |key| layers.text(&path(key)).filter(|text| !text.trim().is_empty());
    let wrong = |key, why: &str| layers.wrong(&path(key), why);
    let mut provider = bare(id, text("name").unwrap_or(id));
    if text("kind") == Some("replay") {
        let Some(recording) = text("recording") else {
            return Err(wrong("recording", "a provider of kind \"replay\" names a recording"));
        };
        provider.wire = Wire::Replay { path: Some(recording.into()) };
        return Ok(provider);
    }
    provider.base_url = match text("base_url") {
        Some(url) => checked_url(url).map_err(|why| wrong("base_url", &why))?,
        None => OPENAI_URL.into(),
    };
    if text("wire_api") == Some("chat") {
        provider.wire = Wire::Chat;
    }
    provider.env_key = text("env_key").map(Box::from);
    provider.env_key_instructions = text("env_key_instructions").map(Box::from);
    if let Some(token) = text("experimental_bearer_token") {
        let key = "experimental_bearer_token";
        provider.bearer_token = Some(checked_value(token).map_err(|why| wrong(key, why))?);
    }
    provider.query_params = layers.text_map(&path("query_params"));
    for (name, value) in layers.text_map(&path("http_headers")) {
        push_header(&mut provider, &name, &value).map_err(|why| wrong("http_headers", &why))?;
    }
    for (name, variable) in layers.text_map(&path("env_http_headers")) {
        push_env_header(&mut provider, &name, &variable, env)?;
    }
    let retries = |key, default| {
        let count = layers.count(&path(key)).unwrap_or(default);
        count.min(u64::from(RETRIES_CONFIGURED_MAX)) as u32
    };
    provider.request_retries_max = retries("request_max_retries", REQUEST_RETRIES);
    provider.stream_retries_max = retries("stream_max_retries", STREAM_RETRIES);
    let idle_ms = layers.count(&path("stream_idle_timeout_ms")).unwrap_or(IDLE_MS);
    provider.idle_ms = idle_ms.clamp(1, STREAM_IDLE_MS_MAX);
    provider.requires_openai_auth = layers.flag(&path("requires_openai_auth")).unwrap_or(false);
    provider.is_azure = is_azure(&provider.name, &provider.base_url);
    Ok(provider)
}

/// Azure wants ids back and stores what it answers.
fn is_azure(name: &str, url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    let hosts =
        ["openai.azure.", "cognitiveservices.azure.", "aoai.azure.", "azure-api.", "azurefd."];
    name.eq_ignore_ascii_case("azure") || hosts.iter().any(|host| url.contains(host))
}

/// An address we would connect to; the wire parses it in full.
fn checked_url(url: &str) -> Result<Box<str>, String> {
    let url = url.trim().trim_end_matches('/');
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if host.is_none_or(str::is_empty) {
        return Err("must begin with https:// or http:// and name a host".to_owned());
    }
    if url.len() > HEADER_TEXT_BYTES_MAX || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has blanks, control characters or letters beyond ASCII, or is too long".into());
    }
    Ok(url.into())
}

fn checked_value(text: &str) -> Result<Secret, &'static str> {
    let text = text.trim();
    if text.len() > HEADER_TEXT_BYTES_MAX {
        return Err("is too long for a header");
    }
    let allowed = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    match text.bytes().all(allowed) {
        true => Ok(Secret::new(text)),
        false => Err("has characters that a header cannot carry"),
    }
}

/// A token of a credential, as a header may carry it.
pub fn checked_token(text: &str) -> Option<Secret> {
    checked_value(text).ok().filter(|token| !token.expose().is_empty())
}

fn push_header(provider: &mut Provider, name: &str, value: &str) -> Result<(), String> {
    // RFC 9110 section 5.6.2.
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > HEADER_TEXT_BYTES_MAX || !name.bytes().all(token) {
        return Err(format!("{name:?} is not the name of a header"));
    }
    // The bodies and connections are framed by us.
    let ours = ["host", "content-length", "transfer-encoding", "connection"];
    if ours.iter().any(|header| name.eq_ignore_ascii_case(header)) {
        return Err(format!("{name} cannot be set"));
    }
    if provider.headers.len() >= 2 * CONFIG_ENTRIES_MAX {
        return Err("too many headers".to_owned());
    }
    let value = checked_value(value).map_err(|why| format!("{name} {why}"))?;
    provider.headers.push((name.into(), value));
    Ok(())
}

/// A header from the environment; left out if the variable says nothing.
fn push_env_header(
    provider: &mut Provider,
    name: &str,
    variable: &str,
    env: Env<'_>,
) -> Result<(), ConfigError> {
    let Some(value) = env_text(env, variable) else { return Ok(()) };
    push_header(provider, name, &value)
        .map_err(|why| ConfigError::new(format!("environment variable {variable}: header {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::Invocation;
    use crate::config::layers::Named;

    fn layers(config: &str) -> Layers {
        let config = Named { name: "config.toml", text: config };
        Layers::new(&Invocation::default(), Some(config)).expect("sound")
    }

    fn find(id: &str, config: &str, env: &[(&str, &str)]) -> Result<Provider, ConfigError> {
        let env = |name: &str| {
            env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Provider::find(id, &layers(config), &env)
    }

    #[test]
    fn the_built_in_address_can_be_moved() {
        let url = |config: &str, env: &[(&str, &str)]| {
            let provider = find("openai", config, env).expect("usable");
            (provider.base_url.to_string(), provider.chatgpt_url.is_some())
        };
        let config = "openai_base_url = 'http://127.0.0.1:9/v1/'";
        let env = [("OPENAI_BASE_URL", "https://proxy.example/v1")];
        assert_eq!(url("", &[]), (OPENAI_URL.to_owned(), true));
        assert_eq!(url("", &env), ("https://proxy.example/v1".to_owned(), false));
        assert_eq!(url(config, &env), ("http://127.0.0.1:9/v1".to_owned(), false));
        assert!(find("openai", "openai_base_url = 'ftp://x'", &[]).is_err());
    }

    #[test]
    fn local_providers_need_nothing() {
        let provider = find("ollama", "", &[]).expect("usable");
        assert_eq!(&*provider.base_url, "http://localhost:11434/v1");
        assert!(!provider.requires_openai_auth && provider.env_key.is_none());
        let moved = find("lmstudio", "", &[("CODEX_OSS_PORT", "8080")]).expect("usable");
        assert_eq!(&*moved.base_url, "http://localhost:8080/v1");
        assert!(find("ollama", "", &[("CODEX_OSS_PORT", "x")]).is_err());
    }

    #[test]
    fn a_configured_provider_is_read_whole() {
        let config = "
            [model_providers.corp]
            name = 'Corp'
            base_url = 'https://corp.openai.azure.com/openai/'
            env_key = 'CORP_KEY'
            env_key_instructions = 'ask IT'
            experimental_bearer_token = 'tok'
            wire_api = 'chat'
            query_params = { api-version = '2025' }
            http_headers = { X-A = '1' }
            env_http_headers = { X-B = 'B', X-C = 'C' }
            request_max_retries = 1000
            stream_max_retries = 0
            stream_idle_timeout_ms = 5
            requires_openai_auth = true
        ";
        let provider = find("corp", config, &[("B", "2"), ("C", " ")]).expect("usable");
        let expected = Provider {
            id: "corp".into(),
            name: "Corp".into(),
            base_url: "https://corp.openai.azure.com/openai".into(),
            chatgpt_url: None,
            wire: Wire::Chat,
            env_key: Some("CORP_KEY".into()),
            env_key_instructions: Some("ask IT".into()),
            bearer_token: Some(Secret::new("tok")),
            headers: vec![("X-A".into(), Secret::new("1")), ("X-B".into(), Secret::new("2"))],
            query_params: vec![("api-version".into(), "2025".into())],
            request_retries_max: RETRIES_CONFIGURED_MAX,
            stream_retries_max: 0,
            idle_ms: 5,
            requires_openai_auth: true,
            is_azure: true,
        };
        assert_eq!(provider, expected);
        assert!(!format!("{provider:?}").contains("tok\""), "secrets are not shown");
    }

    #[test]
    fn a_recording_is_a_provider() {
        let config = "[model_providers.tape]\nkind = 'replay'\nrecording = 'a.jsonl'\n";
        let provider = find("tape", config, &[]).expect("usable");
        assert_eq!(provider.wire, Wire::Replay { path: Some("a.jsonl".into()) });
        assert!(find("tape", "[model_providers.tape]\nkind = 'replay'\n", &[]).is_err());
    }

    #[test]
    fn a_table_named_like_a_built_in_one_is_ignored() {
        let config = "[model_providers.openai]\nname = 'x'\nbase_url = 'http://evil/'\n";
        assert_eq!(&*find("openai", config, &[]).expect("usable").base_url, OPENAI_URL);
    }

    #[test]
    fn unusable_providers_are_refused_by_name() {
        let cases = [
            ("", "there is no provider \"x\""),
            ("model_provider = 'x'", "config.toml line 1: model_provider: there is no"),
            ("[model_providers.x]\nbase_url = 'x'", "line 2: model_providers.x.base_url: must"),
            ("[model_providers.x]\nbase_url = 'http://a b'", "blanks"),
            ("[model_providers.x]\nhttp_headers = { 'a b' = '' }", "not the name of a header"),
            ("[model_providers.x]\nhttp_headers = { Host = 'a' }", "cannot be set"),
            ("[model_providers.x]\nhttp_headers = { A = \"a\\r\\nB: c\" }", "cannot carry"),
            ("[model_providers.x]\nexperimental_bearer_token = \"a\\nb\"", "cannot carry"),
        ];
        for (config, part) in cases {
            let message = find("x", config, &[]).expect_err(config).to_string();
            assert!(message.contains(part), "{config:?}: {message}");
        }
        let long = "x".repeat(HEADER_TEXT_BYTES_MAX + 1);
        let config = format!("[model_providers.x]\nexperimental_bearer_token = '{long}'");
        assert!(find("x", &config, &[]).expect_err("long").to_string().contains("too long"));
        let config = "[model_providers.x]\nenv_http_headers = { A = 'V' }";
        assert!(find("x", config, &[("V", "a\nb")]).is_err());
    }
}

//! What lets us in at a provider: the environment, the configuration or the stored login.
//!
//! Pure: the environment and what the host read from auth.json are lent. That nothing is there is
//! not an error before a request is made, so that everything that needs no provider works without.

use crate::config::providers::{Provider, Secret, Wire, checked_token};
use crate::config::{Env, env_text};

/// What goes with each request to a provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// For `authorization: Bearer`; none for providers that want none.
    pub token: Option<Secret>,
    /// For `chatgpt-account-id`.
    pub account_id: Option<Box<str>>,
    /// Where requests go with these credentials.
    pub base_url: Box<str>,
}

/// A stored login, as auth.json has it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StoredLogin {
    /// What `auth_mode` says, if it is there.
    pub mode: Option<LoginMode>,
    pub api_key: Option<Secret>,
    pub tokens: Option<StoredTokens>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoginMode {
    ApiKey,
    ChatGpt,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredTokens {
    pub id: Option<Secret>,
    pub access: Secret,
    pub refresh: Option<Secret>,
    pub account_id: Option<Box<str>>,
}

/// Who may use `CODEX_API_KEY`: one-off runs, not servers that log in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyFromEnv {
    Honoured,
    Ignored,
}

impl StoredLogin {
    /// The kind of login that counts: what the file says, else the key before the tokens.
    pub fn effective_mode(&self) -> Option<LoginMode> {
        let by_content = match (&self.api_key, &self.tokens) {
            (Some(_), _) => Some(LoginMode::ApiKey),
            (None, Some(_)) => Some(LoginMode::ChatGpt),
            (None, None) => None,
        };
        match self.mode {
            Some(LoginMode::ApiKey) if self.api_key.is_some() => Some(LoginMode::ApiKey),
            Some(LoginMode::ChatGpt) if self.tokens.is_some() => Some(LoginMode::ChatGpt),
            Some(LoginMode::ApiKey | LoginMode::ChatGpt) | None => by_content,
        }
    }
}

/// Finds the credentials for a provider, or says in one text how to get some.
pub fn resolve(
    provider: &Provider,
    env: Env<'_>,
    key_from_env: KeyFromEnv,
    stored: Option<&StoredLogin>,
) -> Result<Credentials, Box<str>> {
    let with = |token: Option<Secret>| Credentials {
        token,
        account_id: None,
        base_url: provider.base_url.clone(),
    };
    if let Wire::Replay { .. } = provider.wire {
        return Ok(with(None));
    }
    let variable = |name: &str| match env_text(env, name) {
        Some(text) => match checked_token(&text) {
            Some(token) => Ok(Some(token)),
            None => Err(format!("{name} holds characters that a header cannot carry")),
        },
        None => Ok(None),
    };
    if let Some(name) = &provider.env_key
        && let Some(token) = variable(name)?
    {
        return Ok(with(Some(token)));
    }
    if let Some(token) = &provider.bearer_token {
        return Ok(with(Some(token.clone())));
    }
    if provider.requires_openai_auth {
        if key_from_env == KeyFromEnv::Honoured
            && let Some(token) = variable("CODEX_API_KEY")?
        {
            return Ok(with(Some(token)));
        }
        if let Some(credentials) = stored.and_then(|stored| from_login(provider, stored)) {
            return Ok(credentials);
        }
        if let Some(token) = variable("OPENAI_API_KEY")? {
            return Ok(with(Some(token)));
        }
    }
    if provider.env_key.is_none() && !provider.requires_openai_auth {
        return Ok(with(None));
    }
    Err(missing(provider).into())
}

fn from_login(provider: &Provider, stored: &StoredLogin) -> Option<Credentials> {
    match stored.effective_mode()? {
        LoginMode::ApiKey => Some(Credentials {
            token: stored.api_key.clone(),
            account_id: None,
            base_url: provider.base_url.clone(),
        }),
        LoginMode::ChatGpt => {
            let tokens = stored.tokens.as_ref()?;
            Some(Credentials {
                token: Some(tokens.access.clone()),
                account_id: tokens.account_id.clone(),
                base_url: provider.chatgpt_url.as_ref().unwrap_or(&provider.base_url).clone(),
            })
        }
    }
}

/// What is missing, and the three ways on.
fn missing(provider: &Provider) -> String {
    let name = &provider.name;
    let key = match &provider.env_key {
        Some(variable) => match &provider.env_key_instructions {
            Some(instructions) => format!("set {variable}: {}", instructions.trim()),
            None => format!("set {variable}"),
        },
        None => "set CODEX_API_KEY, or put {\"OPENAI_API_KEY\": \"...\"} into auth.json in the \
                 windlass home (keys: https://platform.openai.com/api-keys)"
            .to_owned(),
    };
    format!(
        "there is no key for the provider {name}. Three ways on: (1) {key}; (2) use a model on \
         this machine with --oss, or another provider under [model_providers] in config.toml; \
         (3) see windlass work without any, with `windlass demo`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::Invocation;
    use crate::config::layers::{Layers, Named};

    fn credentials(
        id: &str,
        env: &[(&str, &str)],
        stored: Option<&StoredLogin>,
    ) -> Result<Credentials, Box<str>> {
        let config = "
            [model_providers.keyed]
            name = 'Keyed'
            env_key = 'K'
            env_key_instructions = 'ask IT'
            [model_providers.both]
            env_key = 'K'
            experimental_bearer_token = 'literal'
            [model_providers.open]
            base_url = 'http://10.0.0.1/v1'
            [model_providers.tape]
            kind = 'replay'
            recording = 'x'
        ";
        let config = Named { name: "config.toml", text: config };
        let layers = Layers::new(&Invocation::default(), Some(config)).expect("sound");
        let env = |name: &str| {
            env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let provider = Provider::find(id, &layers, &env).expect("usable");
        resolve(&provider, &env, KeyFromEnv::Honoured, stored)
    }

    fn token(credentials: Result<Credentials, Box<str>>) -> Option<String> {
        credentials.expect("usable").token.map(|token| token.expose().to_owned())
    }

    fn login(mode: Option<LoginMode>, key: Option<&str>, access: Option<&str>) -> StoredLogin {
        let tokens = access.map(|access| StoredTokens {
            id: None,
            access: Secret::new(access),
            refresh: None,
            account_id: Some("acc".into()),
        });
        StoredLogin { mode, api_key: key.map(Secret::new), tokens }
    }

    #[test]
    fn the_environment_goes_before_the_login_and_the_login_before_the_spare_key() {
        let stored = login(None, Some("stored"), None);
        let both = [("CODEX_API_KEY", "codex"), ("OPENAI_API_KEY", "spare")];
        assert_eq!(token(credentials("openai", &both, Some(&stored))).as_deref(), Some("codex"));
        let spare = [("OPENAI_API_KEY", " spare\n"), ("CODEX_API_KEY", "")];
        assert_eq!(token(credentials("openai", &spare, Some(&stored))).as_deref(), Some("stored"));
        assert_eq!(token(credentials("openai", &spare, None)).as_deref(), Some("spare"));
    }

    #[test]
    fn a_chatgpt_login_goes_to_its_own_address() {
        let stored = login(None, None, Some("jwt"));
        let found = credentials("openai", &[], Some(&stored)).expect("usable");
        assert_eq!(found.token, Some(Secret::new("jwt")));
        assert_eq!(found.account_id.as_deref(), Some("acc"));
        assert_eq!(&*found.base_url, "https://chatgpt.com/backend-api/codex");
        let moved = [("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")];
        let found = credentials("openai", &moved, Some(&stored)).expect("usable");
        assert_eq!(&*found.base_url, "http://127.0.0.1:1/v1");
    }

    #[test]
    fn the_stored_mode_decides_if_it_can() {
        let chat = Some(LoginMode::ChatGpt);
        assert_eq!(login(None, Some("k"), Some("t")).effective_mode(), Some(LoginMode::ApiKey));
        assert_eq!(login(chat, Some("k"), Some("t")).effective_mode(), chat);
        assert_eq!(login(chat, Some("k"), None).effective_mode(), Some(LoginMode::ApiKey));
        assert_eq!(login(chat, None, None).effective_mode(), None);
    }

    #[test]
    fn other_providers_never_see_the_login() {
        let stored = login(None, Some("stored"), Some("jwt"));
        assert_eq!(token(credentials("open", &[("CODEX_API_KEY", "x")], Some(&stored))), None);
        assert_eq!(token(credentials("tape", &[], Some(&stored))), None);
        assert_eq!(token(credentials("ollama", &[], Some(&stored))), None);
        assert!(credentials("keyed", &[("CODEX_API_KEY", "x")], Some(&stored)).is_err());
    }

    #[test]
    fn a_named_variable_goes_before_the_literal_token() {
        assert_eq!(token(credentials("both", &[("K", "key")], None)).as_deref(), Some("key"));
        assert_eq!(token(credentials("both", &[], None)).as_deref(), Some("literal"));
    }

    #[test]
    fn who_has_no_key_is_told_three_ways_on() {
        let openai = credentials("openai", &[], None).expect_err("no key");
        for part in ["CODEX_API_KEY", "auth.json", "--oss", "model_providers", "windlass demo"] {
            assert!(openai.contains(part), "{openai}");
        }
        let keyed = credentials("keyed", &[], None).expect_err("no key");
        assert!(keyed.contains("set K: ask IT") && keyed.contains("Keyed"), "{keyed}");
        let broken = credentials("keyed", &[("K", "a\nb")], None).expect_err("not a token");
        assert!(broken.contains('K') && !broken.contains("a\nb"), "{broken}");
    }
}

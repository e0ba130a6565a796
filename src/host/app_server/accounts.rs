//! Logins of the user: what is stored, keys that are stored, and taking them away.
//!
//! A key is stored and read, and nothing else of it is ever told: no error holds one.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::config::args::{Invocation, Verb};
use crate::config::credentials::{LoginMode, StoredLogin};
use crate::config::layers::Layers;
use crate::config::providers::{Secret, checked_token};
use crate::config::settings;
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::codec::Typed;
use crate::fronts::app_server::types::methods::ServerNotification;
use crate::fronts::app_server::types::v2_items::{
    AccountLoginCompletedNotification, AccountUpdatedNotification,
};
use crate::fronts::app_server::types::{v1, v2};
use crate::host::app_server::{Surroundings, failed, refused};
use crate::host::disk::auth;
use crate::host::disk::config::layers_on;
use crate::wire::json;

/// An answer and what is told after it, in order.
pub type Answered<T> = Result<(T, Vec<ServerNotification>), Failure>;

/// Answers `account/read`.
pub fn read(around: &Surroundings<'_>) -> Result<v2::GetAccountResponse, Failure> {
    let place = Login::of(around)?;
    let Some((mode, stored)) = place.counting() else {
        let requires_openai_auth = place.is_needed;
        return Ok(v2::GetAccountResponse { account: None, user_id: None, requires_openai_auth });
    };
    let claims = Claims::of(stored);
    let account = match mode {
        LoginMode::ApiKey => v2::Account::ApiKey,
        LoginMode::ChatGpt => v2::Account::Chatgpt {
            email: claims.email,
            plan_type: claims.plan,
            workspace_name: None,
        },
    };
    let user_id = claims.user_id.filter(|_| mode == LoginMode::ChatGpt);
    Ok(v2::GetAccountResponse { account: Some(account), user_id, requires_openai_auth: true })
}

/// Answers `account/login/start`.
pub fn login(
    around: &Surroundings<'_>,
    params: &v2::LoginAccountParams,
) -> Answered<v2::LoginAccountResponse> {
    match params {
        v2::LoginAccountParams::ApiKey { api_key } => {
            store(around, api_key)?;
            let completed = AccountLoginCompletedNotification {
                login_id: None,
                success: true,
                error: None,
                onboarding_entrypoint: None,
            };
            let notes = vec![
                ServerNotification::AccountLoginCompleted(completed),
                updated(Some(v2::AuthMode::ApiKey)),
            ];
            Ok((v2::LoginAccountResponse::ApiKey, notes))
        }
        v2::LoginAccountParams::Chatgpt
        | v2::LoginAccountParams::ChatgptDeviceCode
        | v2::LoginAccountParams::ChatgptAuthTokens { .. } => Err(Failure::refused(NOT_YET)),
    }
}

const NOT_YET: &str = "a login with ChatGPT is not supported yet; use an API key: \
                       account/login/start with type apiKey";

/// Answers `account/login/cancel`: no login ever takes long enough to be cancelled.
pub fn cancel(_params: &v2::CancelLoginAccountParams) -> v2::CancelLoginAccountResponse {
    v2::CancelLoginAccountResponse { status: v2::CancelLoginAccountStatus::NotFound }
}

/// Answers `account/logout`.
pub fn logout(around: &Surroundings<'_>) -> Answered<v2::LogoutAccountResponse> {
    forget(around)?;
    Ok((v2::LogoutAccountResponse {}, vec![updated(None)]))
}

/// Answers `account/rateLimits/read` with what a provider has said last.
pub fn rate_limits(
    around: &Surroundings<'_>,
    last: Option<v2::RateLimitSnapshot>,
) -> Result<v2::GetAccountRateLimitsResponse, Failure> {
    let place = Login::of(around)?;
    match place.counting() {
        Some((LoginMode::ChatGpt, _)) => {}
        Some((LoginMode::ApiKey, _)) => {
            return Err(Failure::refused(
                "an API key has no rate limits to read: they are those of a ChatGPT login",
            ));
        }
        None => {
            return Err(Failure::refused("nobody is logged in, so that there are no rate limits"));
        }
    }
    let nothing = v2::RateLimitSnapshot {
        limit_id: Some("codex".into()),
        limit_name: None,
        normal_model_slug: None,
        primary: None,
        secondary: None,
        credits: None,
        individual_limit: None,
        spend_control_reached: None,
        plan_type: None,
        rate_limit_reached_type: None,
    };
    Ok(v2::GetAccountRateLimitsResponse {
        ordinary_usage_allowed: None,
        rate_limits: last.unwrap_or(nothing),
        rate_limits_by_limit_id: None,
        rate_limit_reset_credits: None,
        account_id: None,
        rate_limit_upsell: None,
    })
}

/// Answers `loginApiKey`.
pub fn login_api_key(
    around: &Surroundings<'_>,
    params: &v1::LoginApiKeyParams,
) -> Answered<v1::LoginApiKeyResponse> {
    store(around, &params.api_key)?;
    Ok((v1::LoginApiKeyResponse {}, vec![changed(Some(v1::AuthMode::ApiKey))]))
}

/// Answers `loginChatGpt`.
pub fn login_chatgpt() -> Result<v1::LoginChatGptResponse, Failure> {
    Err(Failure::refused("a login with ChatGPT is not supported yet; use an API key: loginApiKey"))
}

/// Answers `cancelLoginChatGpt`.
pub fn cancel_chatgpt(
    params: &v1::CancelLoginChatGptParams,
) -> Result<v1::CancelLoginChatGptResponse, Failure> {
    let short: String = params.login_id.chars().take(40).collect();
    Err(Failure::refused(format!("there is no login {short:?}")))
}

/// Answers `logoutChatGpt`, which forgets keys as well.
pub fn logout_chatgpt(around: &Surroundings<'_>) -> Answered<v1::LogoutChatGptResponse> {
    forget(around)?;
    Ok((v1::LogoutChatGptResponse {}, vec![changed(None)]))
}

/// Answers `getAuthStatus`.
pub fn status(
    around: &Surroundings<'_>,
    params: &v1::GetAuthStatusParams,
) -> Result<v1::GetAuthStatusResponse, Failure> {
    let place = Login::of(around)?;
    let requires_openai_auth = Some(place.is_needed);
    let Some((mode, stored)) = place.counting() else {
        let (auth_method, auth_token) = (None, None);
        return Ok(v1::GetAuthStatusResponse { auth_method, auth_token, requires_openai_auth });
    };
    let (auth_method, token) = match mode {
        LoginMode::ApiKey => (v1::AuthMode::ApiKey, stored.api_key.as_ref()),
        LoginMode::ChatGpt => {
            (v1::AuthMode::ChatGPT, stored.tokens.as_ref().map(|tokens| &tokens.access))
        }
    };
    let token = token.filter(|_| params.include_token == Some(true));
    Ok(v1::GetAuthStatusResponse {
        auth_method: Some(auth_method),
        auth_token: token.map(|token| token.expose().into()),
        requires_openai_auth,
    })
}

/// Answers `userInfo`.
pub fn user(around: &Surroundings<'_>) -> Result<v1::UserInfoResponse, Failure> {
    let stored = around.home()?.and_then(|home| auth::read(&home).transpose());
    let stored = stored.transpose().map_err(failed)?;
    let alleged_user_email = stored.and_then(|stored| Claims::of(&stored).email);
    Ok(v1::UserInfoResponse { alleged_user_email })
}

/// What is stored, and whether the provider asks for it.
struct Login {
    is_needed: bool,
    stored: Option<StoredLogin>,
}

impl Login {
    fn of(around: &Surroundings<'_>) -> Result<Login, Failure> {
        let (base, layers) = layers(around)?;
        let provider = settings::provider(&base, &layers, around.env).map_err(refused)?;
        let home = around.home()?.filter(|_| provider.requires_openai_auth);
        let stored = home.map(|home| auth::read(&home)).transpose().map_err(failed)?;
        Ok(Login { is_needed: provider.requires_openai_auth, stored: stored.flatten() })
    }

    fn counting(&self) -> Option<(LoginMode, &StoredLogin)> {
        let stored = self.stored.as_ref()?;
        Some((stored.effective_mode()?, stored))
    }
}

/// What the token of a ChatGPT login says of its owner; nobody has verified it.
struct Claims {
    email: Option<Box<str>>,
    plan: v2::PlanType,
    user_id: Option<Box<str>>,
}

impl Claims {
    fn of(stored: &StoredLogin) -> Claims {
        let token = stored.tokens.as_ref().and_then(|tokens| tokens.id.as_ref());
        let payload = token.and_then(|token| token.expose().split('.').nth(1));
        let payload = payload.and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
        let payload = payload.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let auth = json::field(&payload, "https://api.openai.com/auth").unwrap_or("{}");
        let plan = json::field(auth, "chatgpt_plan_type");
        let plan = plan.and_then(|plan| v2::PlanType::decode(plan).ok());
        Claims {
            email: json::field(&payload, "email").and_then(json::boxed),
            plan: plan.unwrap_or(v2::PlanType::Unknown),
            user_id: json::field(auth, "chatgpt_user_id").and_then(json::boxed),
        }
    }
}

fn layers(around: &Surroundings<'_>) -> Result<(Invocation, Layers), Failure> {
    let base = Invocation { verb: Verb::Exec, ..around.base.clone() };
    let (_, layers) = layers_on(around.machine, &base, around.env).map_err(refused)?;
    Ok((base, layers))
}

fn store(around: &Surroundings<'_>, key: &str) -> Result<(), Failure> {
    let (_, layers) = layers(around)?;
    if layers.text(&["forced_login_method"]) == Some("chatgpt") {
        let message = "an API key is not allowed here: forced_login_method is \"chatgpt\"";
        return Err(Failure::refused(message));
    }
    if layers.text(&["cli_auth_credentials_store"]) == Some("keyring") {
        let message = "there is no keyring here: cli_auth_credentials_store must be \"file\" or \
                       \"auto\" for a key to be stored";
        return Err(Failure::refused(message));
    }
    let Some(key): Option<Secret> = checked_token(key) else {
        let message = "apiKey: it is empty, too long, or holds what a header cannot carry";
        return Err(Failure::refused(message));
    };
    let Some(home) = around.home()? else {
        return Err(Failure::refused("there is no home directory that could hold a key"));
    };
    auth::store_key(&home, &key).map_err(failed)
}

fn forget(around: &Surroundings<'_>) -> Result<(), Failure> {
    match around.home()? {
        Some(home) => auth::remove(&home).map_err(failed),
        None => Ok(()),
    }
}

fn updated(auth_mode: Option<v2::AuthMode>) -> ServerNotification {
    let plan_type = None;
    ServerNotification::AccountUpdated(AccountUpdatedNotification { auth_mode, plan_type })
}

fn changed(auth_method: Option<v1::AuthMode>) -> ServerNotification {
    ServerNotification::AuthStatusChange(v1::AuthStatusChangeNotification { auth_method })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::host::app_server::tests::at;
    use crate::host::disk::tests::Place;

    fn here<T>(place: &Place, act: impl FnOnce(&Surroundings<'_>) -> T) -> T {
        at(place, &Invocation::default(), act)
    }

    fn placed(config: &str, auth: Option<&str>) -> Place {
        let place = Place::new();
        place.file("home/config.toml", config);
        if let Some(auth) = auth {
            place.file("home/auth.json", auth);
        }
        place
    }

    /// A stored login with ChatGPT.
    fn chatgpt() -> String {
        let claims = r#"{"email":"a@b.c","https://api.openai.com/auth":{"chatgpt_plan_type":"pro",
            "chatgpt_user_id":"user-1"}}"#;
        let token = format!("h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(claims));
        format!(r#"{{"tokens":{{"id_token":"{token}","access_token":"access"}},"future":1}}"#)
    }

    fn key(place: &Place, key: &str) -> Answered<v2::LoginAccountResponse> {
        here(place, |around| login(around, &v2::LoginAccountParams::ApiKey { api_key: key.into() }))
    }

    #[test]
    fn a_key_is_stored_for_its_owner_alone_and_read_back() {
        let place = placed("", Some(&chatgpt()));
        let (response, notes) = key(&place, " sk-secret\n").expect("stored");
        assert_eq!(response, v2::LoginAccountResponse::ApiKey);
        let methods: Vec<_> = notes.iter().map(ServerNotification::method).collect();
        assert_eq!(methods, ["account/login/completed", "account/updated"]);
        let path = place.path().join("home/auth.json");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let stored: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).expect("read")).expect("JSON");
        let expected = serde_json::json!({
            "OPENAI_API_KEY": "sk-secret", "auth_mode": "apikey", "future": 1
        });
        assert_eq!(stored, expected);
        let account = here(&place, read).expect("read");
        assert_eq!(account.account, Some(v2::Account::ApiKey));
    }

    #[test]
    fn who_logs_out_is_nobody() {
        let place = placed("", Some("{\"OPENAI_API_KEY\":\"sk-1\"}"));
        let (_, notes) = here(&place, logout).expect("gone");
        assert_eq!(notes, [updated(None)]);
        assert!(!place.path().join("home/auth.json").exists());
        let account = here(&place, read).expect("read");
        assert!(account.account.is_none() && account.requires_openai_auth);
        let (_, notes) = here(&place, logout_chatgpt).expect("still gone");
        assert_eq!(notes, [changed(None)]);
    }

    #[test]
    fn what_a_login_says_of_its_owner_is_told() {
        let place = placed("", Some(&chatgpt()));
        let account = here(&place, read).expect("read");
        let expected = v2::Account::Chatgpt {
            email: Some("a@b.c".into()),
            plan_type: v2::PlanType::Pro,
            workspace_name: None,
        };
        assert_eq!((account.account, account.user_id.as_deref()), (Some(expected), Some("user-1")));
        let user = here(&place, user).expect("read");
        assert_eq!(user.alleged_user_email.as_deref(), Some("a@b.c"));
        let broken = placed("", Some(r#"{"tokens":{"id_token":"x.!.y","access_token":"a"}}"#));
        let account = here(&broken, read).expect("read").account;
        assert!(matches!(account, Some(v2::Account::Chatgpt { email: None, .. })));
    }

    #[test]
    fn the_token_is_told_to_who_asks_for_it() {
        let place = placed("", None);
        let params = v1::LoginApiKeyParams { api_key: "sk-1".into() };
        let (_, notes) = here(&place, |around| login_api_key(around, &params)).expect("stored");
        assert_eq!(notes, [changed(Some(v1::AuthMode::ApiKey))]);
        let told = |include_token| {
            let params = v1::GetAuthStatusParams { include_token, refresh_token: None };
            here(&place, |around| status(around, &params)).expect("read")
        };
        assert_eq!(told(None).auth_token, None);
        assert_eq!(told(Some(true)).auth_token.as_deref(), Some("sk-1"));
        assert_eq!(told(None).auth_method, Some(v1::AuthMode::ApiKey));
    }

    #[test]
    fn other_providers_have_no_login() {
        let config = "model_provider = 'x'\n[model_providers.x]\nname = 'X'\n";
        let place = placed(config, Some("{\"OPENAI_API_KEY\":\"sk-1\"}"));
        let account = here(&place, read).expect("read");
        assert!(account.account.is_none() && !account.requires_openai_auth);
        let params = v1::GetAuthStatusParams { include_token: Some(true), refresh_token: None };
        let status = here(&place, |around| status(around, &params)).expect("read");
        let expected = (None, None, Some(false));
        let found = (status.auth_method, status.auth_token, status.requires_openai_auth);
        assert_eq!(found, expected);
    }

    #[test]
    fn no_refusal_holds_a_key() {
        let place = placed("", None);
        for wrong in ["", "  ", "sk-secret\nx", "sk-sécret"] {
            let failure = key(&place, wrong).expect_err("refused");
            assert!(failure.code == -32600 && !failure.message.contains("sk-"), "{failure}");
        }
        let forced = placed("forced_login_method = 'chatgpt'\n", None);
        let failure = key(&forced, "sk-secret").expect_err("refused");
        assert!(failure.message.contains("forced_login_method"), "{failure}");
        let keyring = placed("cli_auth_credentials_store = 'keyring'\n", None);
        assert!(key(&keyring, "sk-secret").expect_err("refused").message.contains("keyring"));
        let locked = placed("", None);
        locked.directory("home/auth.json");
        let failure = key(&locked, "sk-secret").expect_err("failed");
        assert!(failure.code == -32603 && !failure.message.contains("sk-secret"), "{failure}");
        let chatgpt = here(&place, |around| login(around, &v2::LoginAccountParams::Chatgpt));
        assert!(chatgpt.expect_err("refused").message.contains("use an API key"));
    }

    #[test]
    fn rate_limits_are_those_of_chatgpt() {
        let limits = |place: &Place| here(place, |around| rate_limits(around, None));
        assert!(limits(&placed("", None)).expect_err("refused").message.contains("nobody"));
        let with_key = placed("", Some("{\"OPENAI_API_KEY\":\"sk-1\"}"));
        assert!(limits(&with_key).expect_err("refused").message.contains("API key"));
        let answer = limits(&placed("", Some(&chatgpt()))).expect("an answer");
        assert_eq!(answer.rate_limits.limit_id.as_deref(), Some("codex"));
    }

    #[test]
    fn no_login_is_there_to_be_cancelled() {
        let params = v2::CancelLoginAccountParams { login_id: "x".into() };
        assert_eq!(cancel(&params).status, v2::CancelLoginAccountStatus::NotFound);
        let params = v1::CancelLoginChatGptParams { login_id: "x".into() };
        assert_eq!(
            cancel_chatgpt(&params).expect_err("refused").message,
            "there is no login \"x\""
        );
        assert!(login_chatgpt().is_err());
    }
}

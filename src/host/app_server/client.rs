//! Who the client is, and what it is told of us in return.

use crate::config::request::Requested;
use crate::config::settings;
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::v1;
use crate::host::app_server::Surroundings;
use crate::host::environment;
use crate::limits::ORIGINATOR_BYTES_MAX;

/// The newest release of the other agent whose protocol we speak. Clients look here whether the
/// server is new enough for them, which our own version could not tell them.
pub const PROTOCOL_VERSION: &str = "0.169.0";

/// A client that has introduced itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// As it calls itself; what threads of it are given as `Overrides::client`.
    pub name: Box<str>,
    /// What the client is told.
    pub user_agent: Box<str>,
}

impl Client {
    pub fn new(around: &Surroundings<'_>, told: &v1::ClientInfo) -> Client {
        let requested = Requested { client: told.name.clone(), ..Requested::default() };
        let originator = settings::originator(Some(&requested), around.env);
        let ours = environment::user_agent(&originator, PROTOCOL_VERSION);
        let (name, version) = (plain(&told.name), plain(&told.version));
        Client { name: told.name.clone(), user_agent: format!("{ours} ({name}; {version})").into() }
    }

    /// Answers `initialize`.
    pub fn welcome(&self, around: &Surroundings<'_>) -> Result<v1::InitializeResponse, Failure> {
        let home = around.home()?.unwrap_or_default();
        Ok(v1::InitializeResponse {
            user_agent: self.user_agent.clone(),
            codex_home: home.to_string_lossy().into(),
            platform_family: std::env::consts::FAMILY.into(),
            platform_os: std::env::consts::OS.into(),
        })
    }

    /// Answers `getUserAgent`.
    pub fn user_agent(&self) -> v1::GetUserAgentResponse {
        v1::GetUserAgentResponse { user_agent: self.user_agent.clone() }
    }
}

/// What a header can carry inside of parentheses.
fn plain(text: &str) -> String {
    let allowed = |letter: char| letter == ' ' || letter.is_ascii_graphic();
    let marks = ['(', ')', ';', '\\'];
    let letter = |letter| if allowed(letter) && !marks.contains(&letter) { letter } else { '_' };
    text.trim().chars().take(ORIGINATOR_BYTES_MAX).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::Invocation;
    use crate::host::app_server::tests::at;
    use crate::host::disk::tests::Place;

    fn client(name: &str, version: &str) -> Client {
        let told = v1::ClientInfo { name: name.into(), title: None, version: version.into() };
        let place = Place::new();
        place.directory("home");
        at(&place, &Invocation::default(), |around| Client::new(around, &told))
    }

    #[test]
    fn the_client_is_named_first_and_last() {
        let agent = client("probe", "1.0").user_agent;
        let expected = format!("probe/{PROTOCOL_VERSION} (Linux ");
        assert!(agent.starts_with(&expected), "{agent}");
        assert!(agent.ends_with(" (probe; 1.0)"), "{agent}");
    }

    #[test]
    fn no_name_leaves_its_place() {
        let agent = client("My IDE)\r\nx: (é", &"9".repeat(2 * ORIGINATOR_BYTES_MAX)).user_agent;
        assert!(agent.starts_with("My_IDE)__x:_(__/"), "{agent}");
        assert!(agent.contains(" (My IDE___x: __; 999"), "{agent}");
        assert!(agent.is_ascii() && !agent.contains(char::is_control));
        assert!(agent.len() < 4 * ORIGINATOR_BYTES_MAX);
    }

    #[test]
    fn a_client_is_told_where_it_is() {
        let place = Place::new();
        let home = place.directory("home");
        let told = v1::ClientInfo { name: "p".into(), title: None, version: "1".into() };
        let welcome = at(&place, &Invocation::default(), |around| {
            Client::new(around, &told).welcome(around).expect("a welcome")
        });
        assert_eq!(&*welcome.codex_home, home.to_str().expect("UTF-8"));
        assert_eq!((&*welcome.platform_family, &*welcome.platform_os), ("unix", "linux"));
    }
}

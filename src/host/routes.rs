//! Where the requests of threads go: providers, what they want to see, and how they are spoken to.

use std::collections::BTreeMap;

use crate::config::credentials::Credentials;
use crate::config::providers::{Provider, Secret, Wire};
use crate::limits::ROUTES_MAX;
use crate::wire::dialect::Dialect;
use crate::words::ids::ThreadId;

/// Every provider that a thread asks.
#[derive(Debug)]
pub struct Routes {
    /// Never empty: the first one serves every thread that was led nowhere else.
    all: Vec<Route>,
    led: BTreeMap<ThreadId, usize>,
}

/// One provider.
#[derive(Debug)]
pub struct Route {
    pub provider: Provider,
    pub credentials: Result<Credentials, Box<str>>,
    /// What the provider speaks, as far as we know by now.
    pub dialect: Dialect,
}

impl Routes {
    pub fn one(provider: Provider, credentials: Result<Credentials, Box<str>>) -> Routes {
        Routes { all: vec![Route::new(provider, credentials)], led: BTreeMap::new() }
    }

    pub fn of(&self, thread: ThreadId) -> &Route {
        &self.all[self.led.get(&thread).copied().unwrap_or(0)]
    }

    pub fn of_mut(&mut self, thread: ThreadId) -> &mut Route {
        &mut self.all[self.led.get(&thread).copied().unwrap_or(0)]
    }

    /// The place of this provider, which is added if it is not there; `None` if there are too many.
    pub fn place(
        &mut self,
        provider: &Provider,
        credentials: impl FnOnce() -> Result<Credentials, Box<str>>,
    ) -> Option<usize> {
        if let Some(known) = self.all.iter().position(|route| route.provider == *provider) {
            return Some(known);
        }
        if self.all.len() == ROUTES_MAX {
            return None;
        }
        self.all.push(Route::new(provider.clone(), credentials()));
        Some(self.all.len() - 1)
    }

    /// Requests of the thread go to the route at this place.
    pub fn lead(&mut self, thread: ThreadId, place: usize) {
        assert!(place < self.all.len(), "a route is added before threads are led there");
        self.led.insert(thread, place);
    }

    pub fn forget(&mut self, thread: ThreadId) {
        self.led.remove(&thread);
    }

    /// What no journal may hold.
    pub fn secrets(&self) -> Vec<Secret> {
        let of = |route: &Route| secrets(&route.provider, route.credentials.as_ref().ok());
        self.all.iter().flat_map(of).collect()
    }

    /// Asks for every provider's credentials anew, after a login has changed.
    pub fn refresh(&mut self, credentials: impl Fn(&Provider) -> Result<Credentials, Box<str>>) {
        for route in &mut self.all {
            route.credentials = credentials(&route.provider);
        }
    }
}

impl Route {
    fn new(provider: Provider, credentials: Result<Credentials, Box<str>>) -> Route {
        let dialect = match provider.wire {
            // A recording is asked nothing.
            Wire::Responses | Wire::Replay { .. } => Dialect::Responses,
            Wire::Chat => Dialect::CHAT,
        };
        Route { provider, credentials, dialect }
    }
}

/// What neither recordings nor journals may hold.
pub(crate) fn secrets(provider: &Provider, credentials: Option<&Credentials>) -> Vec<Secret> {
    let mut secrets: Vec<Secret> =
        provider.headers.iter().map(|(_, value)| value.clone()).collect();
    secrets.extend(credentials.and_then(|credentials| credentials.token.clone()));
    secrets
}

//! Which failures come back, and when.
//!
//! Two loops, one in the other: a request that was not answered is sent again without a word; when
//! that is used up, or a stream broke, the whole response is tried again and the front is told.
//! Whatever the counts allow, a provider of whom nothing is heard is given up after
//! `UNREACHABLE_MS_MAX`: addresses that swallow everything cost a connection's whole time each.

use crate::core::prng::Prng;
use crate::limits::{RETRIES_MAX, RETRY_DELAY_MS, RETRY_DELAY_MS_MAX, UNREACHABLE_MS_MAX};
use crate::words::model::{FailureKind, ModelFailure};
use crate::words::settings::ThreadSettings;

/// What has been tried for one response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tries {
    /// Retries since the last one that was told.
    pub request: u32,
    /// Retries that were told.
    pub stream: u32,
    /// Requests that were sent.
    pub sent: u32,
    /// When the first was.
    pub began_ms: u64,
    /// Since when we have been trying to reach the provider in vain.
    pub unheard_ms: u64,
    /// Whether the last of them began to be answered.
    pub begun: bool,
}

/// Whether to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// In silence.
    Request { delay_ms: u64, tries: Tries },
    /// Telling the front; `tries.stream` is the attempt's number.
    Stream { delay_ms: u64, tries: Tries },
    /// Another try might help, but there were enough.
    Enough,
    /// Another try will not help.
    Never,
}

impl Tries {
    /// Nothing was tried yet.
    pub fn begin(now_ms: u64) -> Tries {
        Tries { request: 0, stream: 0, sent: 0, began_ms: now_ms, unheard_ms: now_ms, begun: false }
    }

    /// What a person reads after the last of them has failed.
    pub fn give_up(&self, now_ms: u64, why: &str) -> String {
        if self.sent < 2 {
            return why.to_owned();
        }
        let seconds = now_ms.saturating_sub(self.began_ms).div_ceil(1000);
        format!("gave up after {} attempts in {seconds} s: {why}", self.sent)
    }
}

/// Judges a failure after these tries.
pub fn judge(
    failure: &ModelFailure,
    mut tries: Tries,
    now_ms: u64,
    settings: &ThreadSettings,
    prng: &mut Prng,
) -> Again {
    let request = match failure.kind {
        FailureKind::Unreachable | FailureKind::Server => true,
        // A provider that says so in the middle of a response breaks it.
        FailureKind::RateLimited => !tries.begun,
        FailureKind::Stream => false,
        FailureKind::ContextFull
        | FailureKind::Limit
        | FailureKind::Refused
        | FailureKind::Overloaded
        | FailureKind::Credentials
        | FailureKind::Setup => return Again::Never,
    };
    let told = !request || tries.request >= settings.request_retries_max.min(RETRIES_MAX);
    if told && tries.stream >= settings.stream_retries_max.min(RETRIES_MAX) {
        return Again::Enough;
    }
    if told {
        (tries.request, tries.stream) = (0, tries.stream + 1);
    } else {
        tries.request += 1;
    }
    let delay_ms = delay_ms(failure, if told { tries.stream } else { tries.request }, prng);
    let next_ms = now_ms.saturating_add(delay_ms);
    if failure.kind != FailureKind::Unreachable {
        tries.unheard_ms = next_ms;
    } else if next_ms.saturating_sub(tries.unheard_ms) > UNREACHABLE_MS_MAX {
        return Again::Enough;
    }
    match told {
        true => Again::Stream { delay_ms, tries },
        false => Again::Request { delay_ms, tries },
    }
}

/// What the provider asked for, else a delay that doubles with each attempt, give or take a tenth.
fn delay_ms(failure: &ModelFailure, attempt: u32, prng: &mut Prng) -> u64 {
    if let Some(asked_ms) = failure.retry_after_ms {
        return asked_ms.min(RETRY_DELAY_MS_MAX);
    }
    let doubled = RETRY_DELAY_MS.saturating_mul(1 << (attempt - 1).min(20));
    let jittered = doubled.min(RETRY_DELAY_MS_MAX) * (90 + prng.below(21)) / 100;
    jittered.min(RETRY_DELAY_MS_MAX)
}

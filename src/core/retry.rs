//! Which failures come back, and when.
//!
//! Two loops, one in the other: a request that was not answered is sent again without a word; when
//! that is used up, or a stream broke, the whole response is tried again and the front is told.

use crate::core::prng::Prng;
use crate::limits::{RETRIES_MAX, RETRY_DELAY_MS, RETRY_DELAY_MS_MAX};
use crate::words::model::{FailureKind, ModelFailure};
use crate::words::settings::ThreadSettings;

/// What has been tried for one response.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tries {
    /// Since the last retry that was told.
    pub request: u32,
    pub stream: u32,
}

/// Whether to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// In silence.
    Request {
        delay_ms: u64,
        tries: Tries,
    },
    /// Telling the front; `tries.stream` is the attempt's number.
    Stream {
        delay_ms: u64,
        tries: Tries,
    },
    No,
}

/// Judges a failure after these tries.
pub fn judge(
    failure: &ModelFailure,
    tries: Tries,
    settings: &ThreadSettings,
    prng: &mut Prng,
) -> Again {
    let request = match failure.kind {
        FailureKind::Unreachable | FailureKind::Server | FailureKind::RateLimited => true,
        FailureKind::Stream => false,
        FailureKind::ContextFull
        | FailureKind::Limit
        | FailureKind::Refused
        | FailureKind::Overloaded
        | FailureKind::Credentials
        | FailureKind::Setup => return Again::No,
    };
    if request && tries.request < settings.request_retries_max.min(RETRIES_MAX) {
        let tries = Tries { request: tries.request + 1, ..tries };
        return Again::Request { delay_ms: delay_ms(failure, tries.request, prng), tries };
    }
    if tries.stream < settings.stream_retries_max.min(RETRIES_MAX) {
        let tries = Tries { request: 0, stream: tries.stream + 1 };
        return Again::Stream { delay_ms: delay_ms(failure, tries.stream, prng), tries };
    }
    Again::No
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

//! What a turn may use: requests, tokens, time.
//!
//! Requests and tokens are looked at before each request: work that a response asked for is still
//! done, since it costs neither. Time is a deadline like any other, and stops whatever runs.

use crate::core::thread::Thread;
use crate::core::turn::Wait;
use crate::words::event::{Budget, Ended, Failed};
use crate::words::settings::TimeBudget;

impl Thread {
    /// When something is to be done about the running turn or for want of one, if nothing happens
    /// before.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let given_up = self.sessions.give_up_at_ms;
        let Some(turn) = &self.turn else {
            return self.prompts_due_ms.into_iter().chain(given_up).min();
        };
        let time = self.settings.budgets.time.map(end_ms);
        // A turn that is stopping has its own.
        let time = time.filter(|_| !matches!(turn.wait, Wait::Stop(_)));
        turn.deadline().into_iter().chain(time).chain(given_up).min()
    }

    pub(crate) fn is_out_of_time(&self, now_ms: u64) -> bool {
        self.settings.budgets.time.is_some_and(|time| now_ms >= end_ms(time))
    }

    /// What is used up, so that the turn cannot make another request.
    pub(crate) fn spent(&self, now_ms: u64) -> Option<Budget> {
        let (budgets, turn) = (&self.settings.budgets, self.turn.as_ref()?);
        if self.is_out_of_time(now_ms) {
            Some(Budget::Time)
        } else if budgets.requests_max.is_some_and(|max| turn.requests_count >= max) {
            Some(Budget::Requests)
        } else if budgets.tokens_max.is_some_and(|max| turn.usage.used() >= max) {
            Some(Budget::Tokens)
        } else {
            None
        }
    }

    /// How a turn ends that has used this up.
    pub(crate) fn over_budget(&self, budget: Budget) -> Ended {
        let budgets = &self.settings.budgets;
        let message = match budget {
            Budget::Requests => {
                let max = budgets.requests_max.unwrap_or_default();
                format!("the budget of {max} model requests is used up (max_turns)")
            }
            Budget::Tokens => {
                let used = self.turn.as_ref().map_or(0, |turn| turn.usage.used());
                let max = budgets.tokens_max.unwrap_or_default();
                format!("the budget of {max} tokens is used up: {used} were used (max_tokens)")
            }
            Budget::Time => {
                let length_ms = budgets.time.map_or(0, |time| time.length_ms);
                format!("the run took longer than {} (timeout)", spelled(length_ms))
            }
        };
        Ended::Failed { kind: Failed::Spent(budget), message: message.into() }
    }
}

fn end_ms(time: TimeBudget) -> u64 {
    time.since_ms.saturating_add(time.length_ms)
}

fn spelled(ms: u64) -> String {
    match ms % 1000 {
        0 => format!("{} s", ms / 1000),
        _ => format!("{ms} ms"),
    }
}

//! A user who says too much, too often, to the wrong thread.

use windlass::words::command::{Command, Which};
use windlass::words::ids::{CallId, ConversationId, ThreadId, TurnId};
use windlass::words::item::Part;
use windlass::words::policy::Decision;
use windlass::words::settings::Budgets;

use crate::settings::settings;
use crate::world::World;

/// Threads that are open at once.
const THREADS_AT_ONCE: usize = 4;

impl World {
    pub(crate) fn user_acts(&mut self) {
        let threads = self.watch.threads();
        if threads.is_empty() || threads.len() < THREADS_AT_ONCE && self.chance.one_in(15) {
            self.open();
            return;
        }
        // Now and then a thread that never was, is loading, or is long gone.
        let thread = if self.chance.one_in(15) {
            let slot = self.chance.below(5) as u16;
            ThreadId { slot, generation: self.chance.below(4) as u32 }
        } else {
            self.chance.pick(&threads)
        };
        match self.chance.below(57) {
            0..20 => self.prompt(thread),
            20..23 => {
                let parts = vec![Part::Text(self.chance.pick(&["", " \n"]).into())];
                self.command(Command::Prompt { thread, parts });
            }
            23..29 => {
                for _ in 0..self.chance.pick(&[1, 1, 1, 2, 3, 4]) {
                    self.command(Command::Interrupt { thread });
                }
            }
            29..31 => self.command(Command::Close { thread }),
            31 => {
                for _ in 0..self.chance.below(80) {
                    self.prompt(thread);
                }
            }
            32..35 => self.resume_any(),
            35 => self.fork_any(),
            36 => {
                let settings = Box::new(settings(&mut self.chance, self.now.mono_ms));
                self.command(Command::Configure { thread, settings });
            }
            43..47 => {
                let parts = self.prompt_parts();
                self.command(Command::Review { thread, parts, hint: "a hint".into() });
            }
            40..43 => self.command(Command::Compact { thread }),
            50..54 => {
                let mut settings = settings(&mut self.chance, self.now.mono_ms);
                settings.budgets = Budgets::default();
                let (settings, parts) = (Box::new(settings), self.prompt_parts());
                let hint = "apart".into();
                self.command(Command::ReviewApart { thread, settings, parts, hint });
            }
            54..57 => self.run_line(thread),
            47..50 => {
                let (turn, parts) = (TurnId(self.chance.below(6) as u32), self.prompt_parts());
                self.command(Command::Steer { thread, turn, parts });
            }
            _ => {
                let call = CallId(self.chance.below(5) as u32);
                let decision = self.chance.pick(&[
                    Decision::Approved,
                    Decision::ApprovedForSession,
                    Decision::Denied,
                    Decision::Abort,
                ]);
                self.command(Command::Answer { thread, call, decision });
            }
        }
    }

    /// Asks everybody one last thing, and answers whatever is still being asked.
    pub(crate) fn say_last_words(&mut self) {
        for thread in self.watch.threads() {
            self.prompt(thread);
            for call in self.watch.questions(thread) {
                let decision = Decision::Denied;
                self.command(Command::Answer { thread, call, decision });
            }
        }
    }

    pub(crate) fn resume(&mut self, conversation: ConversationId) {
        let settings = Box::new(settings(&mut self.chance, self.now.mono_ms));
        self.watch.loading(conversation);
        self.command(Command::Resume { settings, which: Which::Id(conversation) });
    }

    fn open(&mut self) {
        if self.chance.one_in(3) {
            self.resume_any();
        }
        let settings = Box::new(settings(&mut self.chance, self.now.mono_ms));
        self.command(Command::Start { settings });
    }

    /// Resumes a conversation that nobody has open, or one that never was.
    fn resume_any(&mut self) {
        let known = self.disk.conversations();
        let free: Vec<ConversationId> =
            known.into_iter().filter(|known| !self.watch.is_loaded(*known)).collect();
        if free.is_empty() || self.chance.one_in(10) {
            self.resume(ConversationId([7; 16]));
        } else {
            let conversation = self.chance.pick(&free);
            self.resume(conversation);
        }
    }

    /// Forks a conversation, open or not, or one that never was.
    fn fork_any(&mut self) {
        let known = self.disk.conversations();
        let missing = ConversationId([7; 16]);
        let nobodys = known.is_empty() || self.chance.one_in(10);
        let conversation = if nobodys { missing } else { self.chance.pick(&known) };
        let settings = Box::new(settings(&mut self.chance, self.now.mono_ms));
        self.command(Command::Fork { settings, which: Which::Id(conversation) });
    }

    fn prompt(&mut self, thread: ThreadId) {
        let parts = self.prompt_parts();
        self.command(Command::Prompt { thread, parts });
    }

    /// Has the user's shell run a line that nobody has run before.
    fn run_line(&mut self, thread: ThreadId) {
        self.prompts_count += 1;
        let line = format!("echo {}", self.prompts_count).into();
        let timeout_ms = self.chance.pick(&[1, 10_000, u64::MAX]);
        self.command(Command::Run { thread, line, timeout_ms });
    }

    fn prompt_parts(&mut self) -> Vec<Part> {
        self.prompts_count += 1;
        vec![Part::Text(format!("prompt {}", self.prompts_count).into())]
    }
}

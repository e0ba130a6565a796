//! What is promised of users' own commands: they run as they were given, once, outside of the
//! sandbox, and what came of them is in the history when their end is told.

use windlass::core::Agent;
use windlass::words::call::CommandPlan;
use windlass::words::event::Ended;
use windlass::words::ids::{CallId, ThreadId};
use windlass::words::item::{Item, Role};
use windlass::words::policy::Confinement;

use crate::told::Line;
use crate::watch::Watch;

impl Watch {
    /// Whether this is the command that the thread's user wants to be run, and as it should be.
    pub(crate) fn is_users(
        &mut self,
        agent: &Agent,
        thread: ThreadId,
        command: &CommandPlan,
        confinement: Confinement,
    ) -> bool {
        let [shell, flag, line] = command.argv.as_slice() else { return false };
        let fresh = self.batch.line.take_if(|wanted| wanted.0 == thread && *wanted.1 == **line);
        let waits = self.lines.get(&thread).is_some_and(|waiting| **waiting == **line);
        if fresh.is_none() && !waits {
            return false;
        }
        self.lines.remove(&thread);
        let settings = agent.settings(thread).unwrap();
        assert_eq!((&**shell, &**flag), (&*settings.shell, "-lc"), "it is run by the user's shell");
        assert_eq!(command.workdir, settings.cwd);
        assert_eq!(confinement, Confinement::Unconfined, "a user's command is not confined");
        self.batch.spawned.push((command.argv.clone(), command.workdir.clone()));
        true
    }

    pub(crate) fn user_command_started(&mut self, thread: ThreadId, call: CallId, line: Line) {
        let before = self.told(thread).commands.insert(call, line);
        assert_eq!(before, None, "a command starts once");
        self.batch.begun.push(call);
        self.running.insert((thread, call));
    }

    pub(crate) fn user_command_ended(&mut self, agent: &Agent, thread: ThreadId, call: CallId) {
        if !self.running.remove(&(thread, call)) {
            return;
        }
        let told = &self.threads[&thread];
        let (argv, _) = &told.commands[&call];
        let said = format!("<command>\n{}\n</command>\n", argv[2]);
        let holds = |item: &Item| match item {
            Item::Message(message) if message.role == Role::User => {
                message.texts().any(|text| text.contains(&said))
            }
            _ => false,
        };
        let items = agent.items(thread);
        let recorded = self.batch.recorded.iter().any(|index| holds(&items[index.0 as usize]));
        assert!(recorded, "the end of a user's command is told before it was recorded");
    }

    /// A turn that has completed has run what it was there for.
    pub(crate) fn line_was_run(&mut self, thread: ThreadId, how: &Ended) {
        let fresh = self.batch.line.take_if(|wanted| wanted.0 == thread);
        let left = self.lines.remove(&thread).or(fresh.map(|(_, line)| line));
        assert!(left.is_none() || *how != Ended::Completed, "not run: {left:?}");
    }

    /// The input was handled: what its user wants to be run waits, unless it was refused.
    pub(crate) fn note_line(&mut self) {
        if let Some((thread, line)) = self.batch.line.take_if(|_| self.batch.refused.is_none()) {
            self.lines.insert(thread, line);
        }
    }
}

//! What fronts are told makes sense: in order, of things that are recorded, within turns.

use windlass::core::Agent;
use windlass::core::effect::Audience;
use windlass::words::call::printed;
use windlass::words::event::{Budget, CommandEnd, Ended, Event, Failed, Question};
use windlass::words::ids::{CallId, ItemIndex, ThreadId, TurnId};
use windlass::words::item::{Item, Role};

use crate::promises::prompt_of;
use crate::told::{Lane, Reviewed, Stopping, Told, Tried};
use crate::watch::Watch;

impl Watch {
    pub(crate) fn event(&mut self, agent: &Agent, to: Audience, event: &Event) {
        let thread = match to {
            Audience::Front(_) => {
                self.batch.lane = Lane::Tell;
                match event {
                    Event::Refused { refusal } => self.batch.refused = Some(*refusal),
                    other => panic!("not for the front that asked: {other:?}"),
                }
                return;
            }
            Audience::Thread(thread) => thread,
            Audience::Child { parent, child } => {
                self.go_on(child, Lane::Tell);
                self.meet_child(agent, child);
                assert_eq!(self.told(child).parent, Some(parent));
                assert!(self.told(parent).turn.is_some(), "told after the parent's turn");
                assert!(!is_of_thread(event), "not for whoever knows the parent: {event:?}");
                self.assert_risk(agent, child, event);
                return match event {
                    Event::Warning { .. } | Event::Limits { .. } => {}
                    Event::SessionEnded { call, .. } => self.session_ended(child, *call),
                    // Nobody has said it to this thread.
                    Event::PromptTaken { item } => self.assert_fresh(*item),
                    _ => self.event_of_turn(agent, child, event),
                };
            }
        };
        self.go_on(thread, Lane::Tell);
        assert!(agent.front(thread).is_some(), "told to nobody: {event:?}");
        match event {
            Event::ThreadStarted { conversation, .. } => {
                self.loading.remove(conversation);
                self.batch.started = true;
                let told = Told::new(*conversation);
                assert!(self.threads.insert(thread, told).is_none(), "a thread starts once");
            }
            Event::ThreadFailed { .. } => {
                assert!(!self.threads.contains_key(&thread), "a thread fails or starts");
            }
            Event::TurnStarted { turn } => {
                let told = self.told(thread);
                assert_eq!(told.turn, None, "one turn at a time");
                assert_eq!(*turn, TurnId(told.turns_count + 1), "turns are counted");
                told.turn = Some(*turn);
                told.turns_count += 1;
                told.stopping = Stopping::No;
                told.unrecorded = false;
            }
            Event::TurnEnded { turn, how, .. } => {
                if let Ended::Failed { kind: Failed::Spent(budget), .. } = how {
                    self.assert_spent(agent, thread, *budget);
                }
                self.line_was_run(thread, how);
                self.turn_ended(thread, *turn, how);
                // Not when the next one is told: its first request is made before that.
                let told = self.told(thread);
                told.requests = 0;
                told.tokens = 0;
                told.summaries = 0;
            }
            Event::TurnStopping { turn } => {
                let told = self.told(thread);
                assert_eq!(told.turn, Some(*turn), "a turn stops that runs");
                told.stopping = Stopping::Yes(0);
            }
            Event::Warning { .. } | Event::Limits { .. } => {
                self.told(thread);
            }
            Event::SessionEnded { call, .. } => {
                self.user_command_ended(agent, thread, *call);
                self.session_ended(thread, *call);
            }
            Event::ThreadLoading => assert!(!self.threads.contains_key(&thread), "it has started"),
            Event::ThreadClosed => self.closed(thread),
            Event::Refused { .. } => panic!("not for a thread: {event:?}"),
            _ => {
                assert!(self.told(thread).turn.is_some(), "told outside any turn: {event:?}");
                self.event_of_turn(agent, thread, event);
            }
        }
    }

    fn session_ended(&mut self, thread: ThreadId, call: CallId) {
        let open = self.told(thread).commands.remove(&call);
        let Some(line) = open else { panic!("a session ends once, and was started: {call:?}") };
        // Another one of the same words may wait to be tried again.
        if !self.batch.ended_well {
            self.told(thread).end_denied(&Tried::Command(line));
        }
    }

    /// A turn that ends for a budget has used it up.
    fn assert_spent(&mut self, agent: &Agent, thread: ThreadId, budget: Budget) {
        let budgets = agent.settings(thread).unwrap().budgets;
        let late = self.is_late(&budgets);
        let told = self.told(thread);
        let spent = match budget {
            Budget::Requests => Some(told.requests) == budgets.requests_max,
            Budget::Tokens => budgets.tokens_max.is_some_and(|max| told.tokens >= max),
            Budget::Time => late,
        };
        assert!(spent, "a turn ended for {budget:?}, which it had left");
    }

    fn turn_ended(&mut self, thread: ThreadId, turn: TurnId, how: &Ended) {
        let told = self.told(thread);
        assert_eq!(told.turn, Some(turn), "a turn ends that runs");
        let lost = matches!(how, Ended::Failed { kind: Failed::Record, .. });
        let review = told.review.take();
        assert!(lost || review != Some(Reviewed::Begun), "a review ends before its turn");
        assert!(
            *how != Ended::Completed || told.stopping == Stopping::No,
            "a turn that was stopped has not completed"
        );
        if told.unrecorded {
            told.questions.clear();
        }
        told.turn = None;
        told.stopping = Stopping::No;
        told.attempts = 0;
        self.batch.ended = Some(how.clone());
        self.family.hurry(thread, self.now_ms);
    }

    fn closed(&mut self, thread: ThreadId) {
        self.waiting.remove(&thread);
        let Some(told) = self.threads.remove(&thread) else {
            // It failed to load, or was closed before it had.
            return;
        };
        assert_eq!(told.turn, None, "a thread closes after its turn");
        let open = &told.commands;
        assert!(told.has_lost || open.is_empty(), "a thread closes after its commands: {open:?}");
        assert!(told.released, "what a closed thread held is released");
    }

    fn event_of_turn(&mut self, agent: &Agent, thread: ThreadId, event: &Event) {
        let items = agent.items(thread);
        match event {
            Event::PromptTaken { item } => {
                self.assert_fresh(*item);
                let Some(text) = prompt_of(&items[item.0 as usize]) else {
                    panic!("a prompt was taken that nobody said")
                };
                self.taken(thread, text);
            }
            Event::ItemCompleted { item } => {
                self.assert_fresh(*item);
                match &items[item.0 as usize] {
                    Item::Message(message) => assert_eq!(message.role, Role::Assistant),
                    Item::Reasoning(_) | Item::Served { .. } => {}
                    other => panic!("not said by the model: {other:?}"),
                }
            }
            Event::TextDelta { from_bytes } => {
                let partial = agent.partial_text(thread);
                assert!(partial.is_char_boundary(*from_bytes as usize), "a delta is lent");
            }
            Event::ReasoningBreak => {}
            Event::ReasoningDelta { from_bytes, .. } => {
                let partial = agent.partial_reasoning(thread);
                assert!(partial.is_char_boundary(*from_bytes as usize), "a delta is lent");
            }
            Event::CommandStarted { call, item, argv, cwd } => {
                let command = (argv.clone(), cwd.clone());
                let before = self.told(thread).commands.insert(*call, command);
                assert_eq!(before, None, "a command starts once");
                self.batch.begun.push(*call);
                assert!(matches!(items[item.0 as usize], Item::Call(_)));
            }
            Event::UserCommandStarted { call, argv, cwd } => {
                self.user_command_started(thread, *call, (argv.clone(), cwd.clone()));
            }
            Event::PatchStarted { call, item, changes } => {
                let before = self.told(thread).patches.insert(*call, changes.clone());
                assert_eq!(before, None, "a patch starts once");
                self.batch.begun.push(*call);
                assert!(matches!(items[item.0 as usize], Item::Call(_)));
            }
            Event::CommandEnded { call, item, ended } => {
                if *ended == CommandEnd::Interrupted
                    && let Some(output) = self.batch.printed.take()
                    && let Item::Output(answered) = &items[item.0 as usize]
                {
                    let told = printed(answered.answer.text());
                    assert_eq!(told, &*output, "what a stopped command printed is kept");
                }
                let open = self.told(thread).commands.remove(call);
                let Some(line) = open else {
                    panic!("a command ends once, and was started: {call:?}")
                };
                self.told(thread).end_denied(&Tried::Command(line));
                self.assert_fresh(*item);
                assert!(matches!(items[item.0 as usize], Item::Output(_)));
            }
            Event::PatchEnded { call, item, .. } => {
                let open = self.told(thread).patches.remove(call);
                let Some(own) = open else {
                    panic!("a patch ends once, and was started: {call:?}")
                };
                self.told(thread).end_denied(&Tried::Patch(own));
                self.assert_fresh(*item);
                assert!(matches!(items[item.0 as usize], Item::Output(_)));
            }
            Event::CallAnswered { item, output, .. } => {
                self.assert_fresh(*output);
                let pair = (&items[item.0 as usize], &items[output.0 as usize]);
                let (Item::Call(call), Item::Output(output)) = pair else {
                    panic!("not a call and its output: {pair:?}")
                };
                assert_eq!((&call.call_id, call.kind), (&output.call_id, output.kind));
            }
            Event::ApprovalAsked { call, item, question } => {
                self.assert_risk(agent, thread, event);
                assert!(matches!(items[item.0 as usize], Item::Call(_)));
                self.asked(thread, *call, question);
            }
            Event::ApprovalSettled { call } => {
                self.batch.settled.push(*call);
                let open = self.told(thread).questions.remove(call);
                assert!(open.is_some(), "a question is settled once");
            }
            Event::ReviewEntered { item, .. } => {
                self.assert_fresh(*item);
                assert!(prompt_of(&items[item.0 as usize]).is_some(), "somebody asked for it");
                let before = self.told(thread).review.replace(Reviewed::Begun);
                assert_eq!(before, None, "a turn is one review");
            }
            Event::ReviewExited { verdict } => {
                let before = self.told(thread).review.replace(Reviewed::Over);
                assert_eq!(before, Some(Reviewed::Begun), "a review ends once");
                let item = verdict.map(|verdict| &items[verdict.0 as usize]);
                let said = item.is_none_or(|item| {
                    matches!(item, Item::Message(message) if message.role == Role::Assistant)
                });
                assert!(said, "a verdict is what the model said: {item:?}");
            }
            Event::CompactionStarted => self.batch.summary_announced = true,
            Event::Compacted { summary } => {
                assert!(self.batch.compacted, "told before it was recorded");
                self.batch.summary_told = true;
                let said = matches!(&items[summary.0 as usize], Item::Message(_));
                assert!(said, "a summary is told as if it had been said");
            }
            Event::Tokens { turn, .. } => self.told(thread).tokens = turn.used(),
            Event::ServedStarted | Event::TasksUpdated { .. } | Event::Retrying { .. } => {}
            other => panic!("not of a turn: {other:?}"),
        }
    }

    fn asked(&mut self, thread: ThreadId, call: CallId, question: &Question) {
        let told = self.told(thread);
        match question {
            Question::Command { argv, cwd, .. } => {
                let own = told.commands.get(&call);
                let shown = own.is_some_and(|own| (&own.0, &own.1) == (argv, cwd))
                    || *argv == ["apply_patch"] && told.patches.contains_key(&call);
                assert!(shown, "asked about what was not told: {question:?}");
            }
            Question::Patch { changes, .. } => {
                let shown = told.patches.get(&call) == Some(changes);
                assert!(shown, "asked about what was not told: {question:?}");
            }
        }
        let before = told.questions.insert(call, question.clone());
        assert!(before.is_none(), "a question is asked once");
        assert_eq!(told.questions.len(), 1, "one question at a time");
    }

    fn taken(&mut self, thread: ThreadId, text: &str) {
        let waiting = self.waiting.entry(thread).or_default();
        if let Some((_, fresh)) = &self.batch.prompt
            && **fresh == *text
        {
            assert!(waiting.is_empty(), "prompts are taken in order");
            self.batch.taken.push(text.into());
        } else {
            assert_eq!(waiting.pop_front().as_deref(), Some(text), "prompts are taken in order");
        }
    }

    /// What a front is told of was recorded before.
    fn assert_fresh(&self, item: ItemIndex) {
        assert!(self.batch.recorded.contains(&item), "told before it was recorded: {item:?}");
    }
}

/// What is told of the thread itself, or of its turns.
fn is_of_thread(event: &Event) -> bool {
    matches!(
        event,
        Event::ThreadStarted { .. }
            | Event::TurnStarted { .. }
            | Event::TurnStopping { .. }
            | Event::TurnEnded { .. }
            | Event::Tokens { .. }
            | Event::Compacted { .. }
    )
}

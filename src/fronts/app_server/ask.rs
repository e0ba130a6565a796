//! What the front asks of the host, and what waits for it.

use crate::fronts::app_server::types::codec::Text;
use crate::fronts::app_server::types::methods::ClientRequest;
use crate::fronts::app_server::types::v1::RequestId;
use crate::fronts::app_server::types::v2::ReviewTarget;
use crate::fronts::app_server::types::v2_items::Turn;
use crate::words::command::{Command, Which};
use crate::words::ids::{ThreadId, TurnId};
use crate::words::item::Part;

/// A request that a command of the machine is to answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Ticket {
    pub id: RequestId,
    pub waits: Waits,
}

/// What a request waits for.
#[derive(Clone, PartialEq, Debug)]
pub enum Waits {
    /// The thread is open.
    Opened(Box<Opened>),
    /// A turn has the prompt: one that begins, else the running one.
    Turn { thread: ThreadId },
    /// This turn has the prompt.
    Steered { thread: ThreadId, turn: TurnId },
    /// A review has begun.
    Reviewed { thread: ThreadId },
    /// The turn has ended.
    Stopped { thread: ThreadId },
    /// The command was taken.
    Taken,
    /// What was said in a conversation was taken.
    Said { thread: ThreadId, submission: u32 },
    /// The turn of a conversation has ended.
    Aborted { thread: ThreadId },
}

/// What opens a thread, which says what the answer looks like.
#[derive(Clone, PartialEq, Debug)]
pub struct Opened {
    pub how: How,
    pub dialect: Dialect,
    pub is_ephemeral: bool,
    /// Files that hold instructions for it.
    pub sources: Box<[Text]>,
    /// What the host knows of a thread that has a past.
    pub past: Past,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Start,
    Resume,
    Fork,
}

/// Which protocol a thread was opened in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    First,
    Second,
}

impl Dialect {
    pub fn of(request: &ClientRequest) -> Dialect {
        match request {
            ClientRequest::NewConversation(_) | ClientRequest::ResumeConversation(_) => {
                Dialect::First
            }
            _ => Dialect::Second,
        }
    }
}

/// What is known of a thread's past beyond what the machine needs.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Past {
    /// Its turns, if they are wanted.
    pub turns: Vec<Turn>,
    /// Where a list of those before them begins, if there are any.
    pub backwards: Option<Text>,
    /// How many turns and items it has: what follows is counted on.
    pub turns_count: u32,
    pub items_count: u32,
    pub preview: Text,
    pub name: Option<Text>,
    /// Unix seconds.
    pub created_at: Option<i64>,
    /// The thread that it was forked from.
    pub forked_from: Option<Text>,
}

/// One thing for the host to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Ask {
    /// Give the machine this command.
    Command { ticket: Option<Ticket>, command: Command },
    /// Open a thread as the request says.
    Open { id: RequestId, request: Box<ClientRequest>, how: How, which: Option<Which> },
    /// Give a thread a prompt, its images read and its settings changed first.
    Prompt {
        ticket: Ticket,
        thread: ThreadId,
        input: Vec<Said>,
        /// May change what the thread runs with.
        request: Option<Box<ClientRequest>>,
    },
    /// Review something in a turn of the thread.
    Review { id: RequestId, thread: ThreadId, target: ReviewTarget },
    /// Answer a request that needs the place and not the machine.
    Errand { id: RequestId, request: Box<ClientRequest> },
}

/// What a client says.
#[derive(Clone, PartialEq, Debug)]
pub enum Said {
    Part(Part),
    /// An image at this path.
    Local(Text),
}

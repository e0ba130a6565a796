//! Requests to what answers them: the machine, the host, or at once.

use crate::fronts::Output;
use crate::fronts::app_server::ask::{Ask, How};
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::codec::{Json, Text};
use crate::fronts::app_server::types::methods::ClientRequest;
use crate::fronts::app_server::types::v1::{InitializeParams, RequestId};
use crate::fronts::app_server::types::v2;
use crate::fronts::app_server::{AppServer, Client, clipped};
use crate::words::command::{Command, Which};
use crate::words::ids::{ConversationId, ThreadId};
use crate::words::sort;

/// What clients ask for at their start, and there is none of here: no error, but nothing.
const NOTHING: [(&str, &str); 7] = [
    ("app/list", r#"{"data":[],"nextCursor":null}"#),
    ("collaborationMode/list", r#"{"data":[]}"#),
    ("configRequirements/read", r#"{"requirements":null}"#),
    ("hooks/list", r#"{"data":[]}"#),
    ("plugin/list", r#"{"marketplaces":[],"marketplaceLoadErrors":[],"featuredPluginIds":[]}"#),
    ("skills/list", r#"{"data":[]}"#),
    ("thread/goal/get", r#"{"goal":null}"#),
];

impl AppServer {
    pub(super) fn request(
        &mut self,
        id: &RequestId,
        method: &str,
        params: Option<&str>,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let request = ClientRequest::decode(method, params).map_err(|fault| {
            if ClientRequest::METHODS.contains(&method) {
                return Failure::from(fault);
            }
            let known = ClientRequest::METHODS.join("`, `");
            let method = clipped(method);
            Failure::refused(format!(
                "Invalid request: unknown variant `{method}`, expected one of `{known}`"
            ))
        });
        if let Ok(ClientRequest::Initialize(params)) = request {
            return self.initialize(id, params);
        }
        if self.client.is_none() {
            return Err(Failure::refused("Not initialized"));
        }
        let nothing = NOTHING.iter().find(|(known, _)| *known == method);
        if let Some(nothing) = nothing.and_then(|(_, nothing)| Json::read(nothing)) {
            self.answer(id, &nothing, out);
            return Ok(());
        }
        self.route(id, request?, out)
    }

    fn initialize(&mut self, id: &RequestId, params: InitializeParams) -> Result<(), Failure> {
        if self.client.is_some() {
            return Err(Failure::refused("Already initialized"));
        }
        let opted_out =
            params.capabilities.as_ref().and_then(|can| can.opt_out_notification_methods.clone());
        self.client = Some(Client {
            name: params.client_info.name.clone(),
            opted_out: opted_out.unwrap_or_default(),
        });
        let request = Box::new(ClientRequest::Initialize(params));
        self.ask(Ask::Errand { id: id.clone(), request });
        Ok(())
    }

    fn route(
        &mut self,
        id: &RequestId,
        request: ClientRequest,
        out: &mut Output,
    ) -> Result<(), Failure> {
        match request {
            ClientRequest::ThreadStart(_) => {
                self.open(id, request, How::Start, None);
                Ok(())
            }
            ClientRequest::ThreadResume(ref params) => {
                let which = match params.history.as_deref() {
                    Some([]) => return Err(Failure::refused("history must not be empty")),
                    Some(_) => None,
                    None => Some(self.resumed(&params.thread_id, params.path.as_deref())?),
                };
                self.open(id, request, How::Resume, which);
                Ok(())
            }
            ClientRequest::ThreadFork(ref params) => {
                let which = self.resumed(&params.thread_id, None)?;
                self.open(id, request, How::Fork, Some(which));
                Ok(())
            }
            ClientRequest::TurnStart(params) => {
                self.follow(&params.thread_id);
                self.start_turn(id, params)
            }
            ClientRequest::TurnSteer(params) => {
                self.steer_turn(id, &params.thread_id, &params.expected_turn_id, &params.input)
            }
            ClientRequest::TurnInterrupt(params) => {
                self.interrupt_turn(id, &params.thread_id, &params.turn_id)
            }
            ClientRequest::ThreadCompactStart(params) => {
                self.follow(&params.thread_id);
                self.compact(id, &params.thread_id)
            }
            ClientRequest::ThreadShellCommand(params) => {
                self.follow(&params.thread_id);
                self.run_user_command(id, params)
            }
            ClientRequest::ReviewStart(params) => {
                self.follow(&params.thread_id);
                let thread = self.find(&params.thread_id)?;
                self.ask(Ask::Review { id: id.clone(), thread, target: params.target });
                Ok(())
            }
            ClientRequest::ThreadLoadedList(params) => self.loaded_list(id, &params, out),
            ClientRequest::ThreadUnsubscribe(params) => {
                self.unsubscribe(id, &params.thread_id, out);
                Ok(())
            }
            request => self.route_first(id, request, out),
        }
    }

    pub(super) fn open(
        &mut self,
        id: &RequestId,
        request: ClientRequest,
        how: How,
        which: Option<Which>,
    ) {
        self.ask(Ask::Open { id: id.clone(), request: Box::new(request), how, which });
    }

    /// Which recorded conversation a request means.
    fn resumed(&self, id: &str, path: Option<&str>) -> Result<Which, Failure> {
        match (path, id.parse::<ConversationId>()) {
            (Some(path), _) => Ok(Which::Path(path.into())),
            (None, Ok(id)) => Ok(Which::Id(id)),
            (None, Err(_)) => Err(Failure::refused(format!("invalid thread id: {}", clipped(id)))),
        }
    }

    fn loaded_list(
        &mut self,
        id: &RequestId,
        params: &v2::ThreadLoadedListParams,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let loaded = self.threads.values().filter(|loaded| loaded.is_open());
        let mut data: Vec<Text> = loaded.map(|loaded| loaded.id.clone()).collect();
        sort::by(&mut data, &mut Ord::cmp);
        if let Some(after) = &params.cursor {
            data.retain(|id| id > after);
        }
        let limit = params.limit.map_or(data.len(), |limit| limit.max(1) as usize);
        let has_more = data.len() > limit;
        data.truncate(limit);
        let next_cursor = data.last().filter(|_| has_more).cloned();
        self.answer(id, &v2::ThreadLoadedListResponse { data, next_cursor }, out);
        Ok(())
    }

    /// The client no longer follows a thread, which is then forgotten. A turn that runs goes on to
    /// its end, unless it waits for an answer that nobody will give.
    fn unsubscribe(&mut self, id: &RequestId, thread: &str, out: &mut Output) {
        let status = match self.find(thread) {
            Err(_) => v2::ThreadUnsubscribeStatus::NotLoaded,
            Ok(thread) => match self.threads.get_mut(&thread).filter(|it| it.is_subscribed) {
                None => v2::ThreadUnsubscribeStatus::NotSubscribed,
                Some(loaded) => {
                    loaded.is_subscribed = false;
                    loaded.is_left = true;
                    if loaded.turn.as_ref().is_none_or(|turn| turn.questions > 0) {
                        self.close(thread);
                    }
                    v2::ThreadUnsubscribeStatus::Unsubscribed
                }
            },
        };
        self.answer(id, &v2::ThreadUnsubscribeResponse { status }, out);
    }

    pub(super) fn close(&mut self, thread: ThreadId) {
        self.ask(Ask::Command { ticket: None, command: Command::Close { thread } });
    }
}

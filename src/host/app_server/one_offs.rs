//! `command/exec` and `execOneOffCommand`: commands that a client runs by itself, beside threads.
//!
//! They run under the same launcher as the model's, under the policy of the request or else our
//! own. Those that stream tell what they print as it comes, which waits in its turn while the
//! client takes none; the others keep it for their answer, up to a bound.

use std::collections::VecDeque;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::core::effect::Stop;
use crate::core::input::CommandEnded;
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::codec::{Json, Map, Text};
use crate::fronts::app_server::types::v2_items::CommandExecOutputStream;
use crate::fronts::app_server::types::{v1, v2};
use crate::host::app_server::errands::{Event, Reach, Ticket};
use crate::host::app_server::settings::{policy_v1, policy_v2};
use crate::host::disk::config;
use crate::host::proc::Children;
use crate::host::proc::programs::{
    Asked, Changes, Program, ProgramId, ProgramStdio, Said, Size, Stream,
};
use crate::limits::{
    KILL_GRACE_MS, ONE_OFF_INPUT_BYTES_MAX, ONE_OFF_KEPT_BYTES_MAX, ONE_OFF_OUTPUT_BYTES,
    ONE_OFF_TIMEOUT_MS, ONE_OFFS_MAX, PROCESS_ID_BYTES_MAX, TIMEOUT_MS_MAX,
};
use crate::words::policy::SandboxPolicy;

/// The exit code of a command that ran out of time, as timeout(1) has it.
const EXIT_TIMED_OUT: i32 = 124;
/// What a signal adds to its number in an exit code.
const EXIT_SIGNAL: i32 = 128;
/// A client's terminal that is given no size.
const SIZE: Size = Size { rows: 24, columns: 80 };

/// All that run.
#[derive(Debug)]
pub struct OneOffs {
    cwd: Box<str>,
    sandbox: SandboxPolicy,
    running: Vec<OneOff>,
    is_paused: bool,
}

/// One command.
#[derive(Debug)]
struct OneOff {
    ticket: Ticket,
    program: ProgramId,
    form: Form,
    process_id: Option<Text>,
    stdio: ProgramStdio,
    is_streamed: bool,
    /// Bytes of each stream that the client wants.
    cap_bytes: Option<usize>,
    timeout_ms: Option<u64>,
    until_ms: Option<u64>,
    outputs: [Output; 2],
    /// Why it is being ended by us.
    cut: Option<Cut>,
}

/// Which request it answers; they differ in what running out of time is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    First,
    Second,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cut {
    Time,
    /// It printed more than an answer holds.
    Output,
}

/// What one stream has come to.
#[derive(Default, Debug)]
struct Output {
    /// For the answer. Invariant: at most `ONE_OFF_KEPT_BYTES_MAX`.
    kept: Vec<u8>,
    passed_bytes: usize,
    is_capped: bool,
}

/// A request that was understood.
struct Wanted {
    form: Form,
    command: Vec<Text>,
    cwd: Option<Text>,
    changes: Changes,
    sandbox: Option<SandboxPolicy>,
    process_id: Option<Text>,
    stdio: ProgramStdio,
    is_streamed: bool,
    cap_bytes: Option<usize>,
    timeout_ms: Option<u64>,
}

impl OneOffs {
    /// `cwd` and `sandbox` are those of commands that say nothing else.
    pub fn new(cwd: Box<str>, sandbox: SandboxPolicy) -> OneOffs {
        OneOffs { cwd, sandbox, running: Vec::new(), is_paused: false }
    }

    /// `command/exec`. Its answer comes as `Ended`.
    pub fn begin(
        &mut self,
        reach: &mut Reach<'_>,
        ticket: Ticket,
        params: v2::CommandExecParams,
    ) -> Result<(), Failure> {
        let wanted = Wanted::second(params)?;
        self.start(reach, ticket, wanted)
    }

    /// `execOneOffCommand`. Its answer comes as `Ended`.
    pub fn begin_first(
        &mut self,
        reach: &mut Reach<'_>,
        ticket: Ticket,
        params: v1::ExecOneOffCommandParams,
    ) -> Result<(), Failure> {
        let wanted = Wanted::first(params)?;
        self.start(reach, ticket, wanted)
    }

    fn start(
        &mut self,
        reach: &mut Reach<'_>,
        ticket: Ticket,
        wanted: Wanted,
    ) -> Result<(), Failure> {
        if self.running.len() >= ONE_OFFS_MAX {
            return Err(Failure::refused(format!("{ONE_OFFS_MAX} commands run already")));
        }
        if let Some(id) = &wanted.process_id
            && self.position(id).is_some()
        {
            return Err(Failure::refused(format!("a process {id:?} runs already")));
        }
        if let Some(sandbox) = &wanted.sandbox {
            let judged = config::judge(sandbox.mode);
            judged.map_err(|error| Failure::refused(error.to_string()))?;
        }
        let sandbox = match &wanted.sandbox {
            // What no command may read stays so, whoever asks.
            Some(asked) => {
                SandboxPolicy { unreadable: self.sandbox.unreadable.clone(), ..asked.clone() }
            }
            None => self.sandbox.clone(),
        };
        let cwd = Path::new(&*self.cwd).join(wanted.cwd.as_deref().unwrap_or_default());
        let asked = Asked {
            argv: wanted.command.iter().map(|word| word.as_bytes().to_vec()).collect(),
            changes: wanted.changes,
            cwd: &cwd.to_string_lossy(),
            sandbox: &sandbox,
            stdio: wanted.stdio,
        };
        let shared = reach.children.shared(sandbox.mode);
        let program = shared.and_then(|shared| reach.starter.program(asked, shared));
        let program = program.and_then(|it| reach.children.add_program(reach.poller, it));
        let program = program
            .map_err(|error| Failure::internal(format!("it could not be started: {error}")))?;
        if wanted.is_streamed && self.is_paused {
            reach.children.hold_program(program);
        }
        self.running.push(OneOff {
            ticket,
            program,
            form: wanted.form,
            process_id: wanted.process_id,
            stdio: wanted.stdio,
            is_streamed: wanted.is_streamed,
            cap_bytes: wanted.cap_bytes,
            timeout_ms: wanted.timeout_ms,
            until_ms: wanted.timeout_ms.map(|ms| reach.now_ms + ms),
            outputs: [Output::default(), Output::default()],
            cut: None,
        });
        Ok(())
    }

    /// `command/exec/write`.
    pub fn write(
        &mut self,
        children: &mut Children,
        params: &v2::CommandExecWriteParams,
    ) -> Result<(), Failure> {
        let (one_off, program) = self.named(children, &params.process_id)?;
        if one_off.stdio == ProgramStdio::Output {
            return Err(Failure::refused("the process was not started with streamStdin or tty"));
        }
        if params.delta_base64.is_none() && !params.close_stdin.0 {
            return Err(Failure::refused("neither deltaBase64 nor closeStdin says what to do"));
        }
        if let Some(delta) = &params.delta_base64 {
            let bytes = STANDARD.decode(&**delta);
            let bytes = bytes.map_err(|error| Failure::refused(format!("deltaBase64: {error}")))?;
            program.write(&bytes, ONE_OFF_INPUT_BYTES_MAX).map_err(Failure::refused)?;
        }
        if params.close_stdin.0 {
            program.end_input();
        }
        Ok(())
    }

    /// `command/exec/terminate`. The command's own answer says what came of it.
    pub fn terminate(
        &mut self,
        children: &mut Children,
        params: &v2::CommandExecTerminateParams,
    ) -> Result<(), Failure> {
        let (_, program) = self.named(children, &params.process_id)?;
        program.stop(Stop::Terminate);
        Ok(())
    }

    /// `command/exec/resize`.
    pub fn resize(
        &mut self,
        children: &mut Children,
        params: &v2::CommandExecResizeParams,
    ) -> Result<(), Failure> {
        let (one_off, program) = self.named(children, &params.process_id)?;
        if !matches!(one_off.stdio, ProgramStdio::Terminal(_)) {
            return Err(Failure::refused("the process was not started with tty"));
        }
        let resized = program.resize(size(&params.size)?);
        resized.map_err(|error| Failure::internal(format!("resize the terminal: {error}")))
    }

    /// Leaves what streaming commands print where it is.
    pub fn pause(&mut self, children: &mut Children) {
        self.is_paused = true;
        for one_off in self.running.iter().filter(|one_off| one_off.is_streamed) {
            children.hold_program(one_off.program);
        }
    }

    /// Reads on.
    pub fn resume(&mut self, reach: &mut Reach<'_>) {
        self.is_paused = false;
        for one_off in &self.running {
            reach.children.release_program(reach.poller, one_off.program, reach.now_ms);
        }
    }

    /// When the first of them runs out of time.
    pub fn next_deadline(&self) -> Option<u64> {
        self.running.iter().filter_map(|one_off| one_off.until_ms).min()
    }

    /// Ends those that run out of time, and answers for those that cannot be ended.
    pub fn on_deadline(
        &mut self,
        children: &mut Children,
        now_ms: u64,
        events: &mut VecDeque<Event>,
    ) {
        let is_due = |one_off: &OneOff| one_off.until_ms.is_some_and(|until_ms| until_ms <= now_ms);
        while let Some(place) = self.running.iter().position(is_due) {
            if self.running[place].cut.is_none() {
                self.running[place].end(children, Cut::Time, now_ms);
            } else {
                let one_off = self.running.remove(place);
                children.drop_program(one_off.program);
                events.push_back(one_off.ended(CommandEnded::Signalled { signal: libc::SIGKILL }));
            }
        }
    }

    /// What a program said; gives it back if the program is none of ours.
    pub fn on_said(
        &mut self,
        children: &mut Children,
        now_ms: u64,
        (id, said): (ProgramId, Said),
        events: &mut VecDeque<Event>,
    ) -> Option<Said> {
        let place = self.running.iter().position(|one_off| one_off.program == id);
        let Some(place) = place else { return Some(said) };
        match said {
            Said::Output { stream, bytes } => {
                let one_off = &mut self.running[place];
                match one_off.take(stream, &bytes) {
                    Taken::Kept => {}
                    Taken::Told(event) => events.push_back(event),
                    Taken::TooMuch => one_off.end(children, Cut::Output, now_ms),
                }
            }
            Said::Ended(ended) => events.push_back(self.running.remove(place).ended(ended)),
        }
        None
    }

    fn position(&self, process_id: &str) -> Option<usize> {
        let is_named = |one_off: &OneOff| one_off.process_id.as_deref() == Some(process_id);
        self.running.iter().position(is_named)
    }

    fn named<'a>(
        &'a mut self,
        children: &'a mut Children,
        process_id: &str,
    ) -> Result<(&'a OneOff, &'a mut Program), Failure> {
        let one_off = self.position(process_id).map(|place| &self.running[place]);
        let program = one_off.and_then(|one_off| children.program_mut(one_off.program));
        let unknown = || {
            let shown: String = process_id.chars().take(PROCESS_ID_BYTES_MAX).collect();
            Failure::refused(format!("no process {shown:?} runs"))
        };
        one_off.zip(program).ok_or_else(unknown)
    }
}

/// What became of a piece of output.
enum Taken {
    Kept,
    Told(Event),
    TooMuch,
}

impl OneOff {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> Taken {
        let output = &mut self.outputs[stream as usize];
        let room_bytes = self.cap_bytes.map_or(usize::MAX, |cap| cap - output.passed_bytes);
        let wanted = &bytes[..bytes.len().min(room_bytes)];
        let is_over = wanted.len() < bytes.len();
        output.passed_bytes = output.passed_bytes.saturating_add(wanted.len());
        if let Some(process_id) = self.process_id.as_ref().filter(|_| self.is_streamed) {
            if output.is_capped {
                return Taken::Kept;
            }
            output.is_capped = is_over;
            let stream = match stream {
                Stream::Stdout => CommandExecOutputStream::Stdout,
                Stream::Stderr => CommandExecOutputStream::Stderr,
            };
            let (process_id, bytes) = (process_id.clone(), wanted.to_vec());
            return Taken::Told(Event::Output { process_id, stream, bytes, cap_reached: is_over });
        }
        output.is_capped |= output.kept.len() + wanted.len() > ONE_OFF_KEPT_BYTES_MAX;
        if output.is_capped {
            return Taken::TooMuch;
        }
        output.kept.extend_from_slice(wanted);
        Taken::Kept
    }

    /// Ends it at once; nobody waits for long for what the kernel keeps.
    fn end(&mut self, children: &mut Children, cut: Cut, now_ms: u64) {
        if self.cut.is_some() {
            return;
        }
        self.until_ms = Some(now_ms + KILL_GRACE_MS);
        self.cut = Some(cut);
        if let Some(program) = children.program_mut(self.program) {
            program.stop(Stop::Kill);
        }
    }

    fn ended(self, ended: CommandEnded) -> Event {
        let ticket = self.ticket;
        let exit_code = match ended {
            CommandEnded::NotStarted { why } => {
                return Event::Ended { ticket, result: Err(Failure::internal(why)) };
            }
            CommandEnded::Exited { code } => code,
            CommandEnded::Signalled { signal } => EXIT_SIGNAL + signal,
        };
        let exit_code = if self.cut == Some(Cut::Time) { EXIT_TIMED_OUT } else { exit_code };
        let [stdout, stderr] = self.outputs.map(|output| text(&output.kept));
        let response = v2::CommandExecResponse { exit_code, stdout, stderr };
        let failed = |message: String| {
            let data = Some(Json::of(&response));
            Err(Failure { data, ..Failure::internal(message) })
        };
        let result = match (self.cut, self.form) {
            (Some(Cut::Time), Form::First) => {
                let ms = self.timeout_ms.unwrap_or_default();
                failed(format!("the command timed out after {ms} ms"))
            }
            (Some(Cut::Output), _) => failed(format!(
                "the command printed over {ONE_OFF_KEPT_BYTES_MAX} bytes; \
                 streamStdoutStderr takes more"
            )),
            (Some(Cut::Time) | None, _) => Ok(response),
        };
        Event::Ended { ticket, result }
    }
}

impl Wanted {
    fn first(params: v1::ExecOneOffCommandParams) -> Result<Wanted, Failure> {
        Ok(Wanted {
            form: Form::First,
            command: judged(params.command)?,
            cwd: params.cwd,
            changes: Vec::new(),
            sandbox: params.sandbox_policy.as_ref().map(policy_v1),
            process_id: None,
            stdio: ProgramStdio::Output,
            is_streamed: false,
            cap_bytes: Some(ONE_OFF_OUTPUT_BYTES),
            timeout_ms: Some(timeout_ms(params.timeout_ms)?),
        })
    }

    fn second(params: v2::CommandExecParams) -> Result<Wanted, Failure> {
        let refused = |why: &str| Err(Failure::refused(why));
        let is_terminal = params.tty.0;
        let is_typed = params.stream_stdin.0 || is_terminal;
        let is_streamed = params.stream_stdout_stderr.0 || is_terminal;
        let id_bytes = params.process_id.as_ref().map(|id| id.len());
        if (is_typed || is_streamed) && id_bytes.is_none() {
            return refused("tty, streamStdin and streamStdoutStderr need a processId");
        }
        if id_bytes.is_some_and(|count| count == 0 || count > PROCESS_ID_BYTES_MAX) {
            return refused("processId is empty or too long");
        }
        if params.disable_timeout.0 && params.timeout_ms.is_some() {
            return refused("timeoutMs and disableTimeout exclude each other");
        }
        if params.disable_output_cap.0 && params.output_bytes_cap.is_some() {
            return refused("outputBytesCap and disableOutputCap exclude each other");
        }
        if params.size.is_some() && !is_terminal {
            return refused("size needs tty");
        }
        let cap_bytes = match params.output_bytes_cap {
            Some(cap) => match usize::try_from(cap) {
                Ok(cap) => Some(cap),
                Err(_) => return refused("outputBytesCap is negative"),
            },
            None if params.disable_output_cap.0 => None,
            None => Some(ONE_OFF_OUTPUT_BYTES),
        };
        let stdio = match is_terminal {
            true => ProgramStdio::Terminal(params.size.as_ref().map_or(Ok(SIZE), size)?),
            false if is_typed => ProgramStdio::Pipes,
            false => ProgramStdio::Output,
        };
        Ok(Wanted {
            form: Form::Second,
            command: judged(params.command)?,
            cwd: params.cwd,
            changes: changes(params.env.unwrap_or_default())?,
            sandbox: params.sandbox_policy.as_ref().map(policy_v2),
            process_id: params.process_id,
            stdio,
            is_streamed,
            cap_bytes,
            timeout_ms: match params.disable_timeout.0 {
                true => None,
                false => Some(timeout_ms(params.timeout_ms)?),
            },
        })
    }
}

fn judged(command: Vec<Text>) -> Result<Vec<Text>, Failure> {
    if command.is_empty() {
        return Err(Failure::refused("command must not be empty"));
    }
    if command.iter().any(|word| word.contains('\0')) {
        return Err(Failure::refused("command holds a zero byte"));
    }
    Ok(command)
}

fn timeout_ms(asked: Option<i64>) -> Result<u64, Failure> {
    let Some(asked) = asked else { return Ok(ONE_OFF_TIMEOUT_MS) };
    let asked = u64::try_from(asked).map_err(|_| Failure::refused("timeoutMs is negative"))?;
    Ok(asked.min(TIMEOUT_MS_MAX))
}

fn changes(env: Map<Option<Text>>) -> Result<Changes, Failure> {
    let change = |(name, value): (Text, Option<Text>)| {
        let is_wrong = name.is_empty() || name.contains(['=', '\0']);
        if is_wrong || value.as_ref().is_some_and(|value| value.contains('\0')) {
            return Err(Failure::refused("env holds what cannot be a variable"));
        }
        Ok((name.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec())))
    };
    env.into_iter().map(change).collect()
}

fn size(asked: &v2::CommandExecTerminalSize) -> Result<Size, Failure> {
    if asked.rows == 0 || asked.cols == 0 {
        return Err(Failure::refused("a terminal has at least one row and one column"));
    }
    Ok(Size { rows: asked.rows, columns: asked.cols })
}

fn text(bytes: &[u8]) -> Text {
    String::from_utf8_lossy(bytes).into()
}

//! The second protocol: threads, turns and items, what is told of them and asked about them.

use super::codec::{Json, Maybe, Preset, Text};
use super::declare::protocol;
use super::events::ResponseItem;
use super::v1::RequestId;
use super::v2::{AuthMode, PlanType, RateLimitSnapshot};

protocol! { V2_ITEMS:
    alias ReasoningEffort { Text }

    record Thread Camel {
        id: Text,
        session_id: Text,
        forked_from_id: Option<Text>,
        parent_thread_id: Option<Text>,
        preview: Text,
        ephemeral: bool,
        section: Option<Json>,
        section_entered_at: Option<i64>,
        project_id: Option<Text>,
        history_mode: ThreadHistoryMode,
        model_provider: Text,
        model: Option<Text>,
        reasoning_effort: Option<ReasoningEffort>,
        created_at: i64,
        updated_at: i64,
        recency_at: Option<i64>,
        status: ThreadStatus,
        path: Option<Text>,
        cwd: Text,
        cli_version: Text,
        originator: Option<Text>,
        source: SessionSource,
        thread_source: Option<Text>,
        agent_nickname: Option<Text>,
        agent_role: Option<Text>,
        git_info: Option<GitInfo>,
        name: Option<Text>,
        turns: Vec<Turn>,
    }
    words ThreadHistoryMode Lower { Legacy, Paginated }
    tagged ThreadStatus type Camel Camel {
        NotLoaded,
        Idle,
        SystemError,
        Active { active_flags: Vec<ThreadActiveFlag> },
    }
    words ThreadActiveFlag Camel { WaitingOnApproval, WaitingOnUserInput }
    outer SessionSource Camel Camel {
        Cli,
        VSCode = "vscode",
        Exec,
        AppServer,
        Custom(Text),
        SubAgent(SubAgentSource),
        Unknown,
    }
    outer SubAgentSource Snake Snake {
        Review,
        Compact,
        ThreadSpawn {
            parent_thread_id: Text,
            depth: i32,
            agent_path: Option<Text>,
            agent_nickname: Option<Text>,
            agent_role: Option<Text>,
        },
        MemoryConsolidation,
        Other(Text),
    }
    record GitInfo Camel { sha: Option<Text>, branch: Option<Text>, origin_url: Option<Text> }

    record Turn Camel {
        id: Text,
        root_turn_id: Option<Text>,
        items: Vec<ThreadItem>,
        items_view: TurnItemsView,
        status: TurnStatus,
        error: Option<TurnError>,
        started_at: Option<i64>,
        completed_at: Option<i64>,
        duration_ms: Option<i64>,
    }
    words TurnItemsView Camel { NotLoaded, Summary, Full }
    words TurnStatus Camel { Completed, Interrupted, Failed, InProgress }
    record TurnError Camel {
        message: Text,
        codex_error_info: Option<CodexErrorInfo>,
        additional_details: Option<Text>,
        misalignment: Option<Json>,
    }
    outer CodexErrorInfo Camel Camel {
        ContextWindowExceeded,
        UsageLimitExceeded,
        RateLimitExceeded,
        ServerOverloaded,
        ModelNotFound,
        HttpConnectionFailed { http_status_code: Option<u16> },
        ResponseStreamConnectionFailed { http_status_code: Option<u16> },
        InternalServerError,
        Unauthorized,
        BadRequest,
        SandboxError,
        ResponseStreamDisconnected { http_status_code: Option<u16> },
        ResponseTooManyFailedAttempts { http_status_code: Option<u16> },
        ActiveTurnNotSteerable { turn_kind: NonSteerableTurnKind },
        Other,
    }
    words NonSteerableTurnKind Lower { Review, Compact }

    tagged UserInput type Camel Snake {
        Text { text: Text, text_elements: Preset<Vec<TextElement>> },
        Image { detail: Maybe<ImageDetail>, url: Text },
        LocalImage { detail: Maybe<ImageDetail>, path: Text },
        Skill { name: Text, path: Text },
        Mention { name: Text, path: Text },
    }
    words ImageDetail Lower { Auto, Low, High, Original }
    record TextElement Camel { byte_range: ByteRange, placeholder: Option<Text> }
    record ByteRange Camel { start: i64, end: i64 }

    both ThreadItem { times: ThreadItemTimes, kind: ThreadItemKind }
    inline ThreadItemTimes Camel { started_at_ms: Maybe<i64>, completed_at_ms: Maybe<i64> }
    tagged ThreadItemKind type Camel Camel {
        UserMessage { id: Text, client_id: Option<Text>, content: Vec<UserInput> },
        AgentMessage {
            id: Text,
            text: Text,
            phase: Option<MessagePhase>,
            memory_citation: Option<Json>,
            moderation: Option<Json>,
            delivery: Option<Json>,
            questions: Option<Vec<Json>>,
        },
        Plan { id: Text, text: Text },
        Reasoning { id: Text, summary: Vec<Text>, content: Vec<Text> },
        CommandExecution {
            id: Text,
            plugin_id: Option<Text>,
            script_path: Option<Text>,
            command: Text,
            cwd: Text,
            process_id: Option<Text>,
            source: CommandExecutionSource,
            status: CommandExecutionStatus,
            command_actions: Vec<CommandAction>,
            aggregated_output: Option<Text>,
            exit_code: Option<i32>,
            duration_ms: Option<i64>,
        },
        FileChange { id: Text, changes: Vec<FileUpdateChange>, status: PatchApplyStatus },
        McpToolCall {
            id: Text,
            server: Text,
            tool: Text,
            status: McpToolCallStatus,
            arguments: Json,
            app_context: Option<Json>,
            mcp_app_ui: Option<Json>,
            plugin_id: Option<Text>,
            read_only_hint: Option<bool>,
            result: Option<McpToolCallResult>,
            error: Option<McpToolCallError>,
            duration_ms: Option<i64>,
        },
        DynamicToolCall {
            id: Text,
            namespace: Option<Text>,
            tool: Text,
            arguments: Json,
            status: DynamicToolCallStatus,
            content_items: Option<Vec<Json>>,
            success: Option<bool>,
            duration_ms: Option<i64>,
        },
        WebSearch {
            id: Text,
            query: Text,
            action: Option<WebSearchAction>,
            results: Option<Vec<Json>>,
        },
        ImageView { id: Text, path: Text },
        EnteredReviewMode { id: Text, review: Text },
        ExitedReviewMode { id: Text, review: Text },
        ContextCompaction { id: Text },
    }
    words MessagePhase Snake { Commentary, PartialAnswer, FinalAnswer }
    words CommandExecutionSource Camel {
        Agent, UserShell, UnifiedExecStartup, UnifiedExecInteraction,
    }
    words CommandExecutionStatus Camel { InProgress, Completed, Failed, Declined }
    words PatchApplyStatus Camel { InProgress, Completed, Failed, Declined }
    words McpToolCallStatus Camel { InProgress, Completed, Failed }
    words DynamicToolCallStatus Camel { InProgress, Completed, Failed }
    tagged CommandAction type Camel Camel {
        Read { command: Text, name: Text, path: Text },
        ListFiles { command: Text, path: Option<Text> },
        Search { command: Text, query: Option<Text>, path: Option<Text> },
        Unknown { command: Text },
    }
    record FileUpdateChange Camel { path: Text, kind: PatchChangeKind, diff: Text }
    tagged PatchChangeKind type Camel Snake { Add, Delete, Update { move_path: Option<Text> } }
    record McpToolCallResult Camel {
        content: Vec<Json>,
        structured_content: Option<Json>,
        _meta: Option<Json>,
    }
    record McpToolCallError Camel { message: Text }
    tagged WebSearchAction type Camel Camel {
        Search { query: Option<Text>, queries: Option<Vec<Text>> },
        OpenPage { url: Option<Text> },
        FindInPage { url: Option<Text>, pattern: Option<Text> },
        Other,
    }

    record ErrorNotification Camel {
        error: TurnError,
        will_retry: bool,
        thread_id: Text,
        turn_id: Text,
    }
    record ThreadStartedNotification Camel { thread: Thread }
    record ThreadStatusChangedNotification Camel { thread_id: Text, status: ThreadStatus }
    record ThreadArchivedNotification Camel { thread_id: Text }
    record ThreadUnarchivedNotification Camel { thread_id: Text }
    record ThreadClosedNotification Camel { thread_id: Text }
    record ThreadNameUpdatedNotification Camel { thread_id: Text, thread_name: Maybe<Text> }
    record ThreadTokenUsageUpdatedNotification Camel {
        thread_id: Text,
        turn_id: Text,
        token_usage: ThreadTokenUsage,
    }
    record ThreadTokenUsage Camel {
        total: TokenUsageBreakdown,
        last: TokenUsageBreakdown,
        model_context_window: Option<i64>,
    }
    record TokenUsageBreakdown Camel {
        total_tokens: i64,
        input_tokens: i64,
        cached_input_tokens: i64,
        cache_write_input_tokens: i64,
        output_tokens: i64,
        reasoning_output_tokens: i64,
    }
    record ContextCompactedNotification Camel { thread_id: Text, turn_id: Text }
    record TurnStartedNotification Camel { thread_id: Text, turn: Turn }
    record TurnCompletedNotification Camel { thread_id: Text, turn: Turn }
    record TurnDiffUpdatedNotification Camel { thread_id: Text, turn_id: Text, diff: Text }
    record TurnPlanUpdatedNotification Camel {
        thread_id: Text,
        turn_id: Text,
        explanation: Option<Text>,
        plan: Vec<TurnPlanStep>,
    }
    record TurnPlanStep Camel { step: Text, status: TurnPlanStepStatus }
    words TurnPlanStepStatus Camel { Pending, InProgress, Completed }
    record ItemStartedNotification Camel {
        item: ThreadItem,
        thread_id: Text,
        turn_id: Text,
        started_at_ms: i64,
    }
    record ItemCompletedNotification Camel {
        item: ThreadItem,
        thread_id: Text,
        turn_id: Text,
        completed_at_ms: i64,
    }
    record AgentMessageDeltaNotification Camel {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        delta: Text,
    }
    record PlanDeltaNotification Camel {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        delta: Text,
    }
    record ReasoningSummaryPartAddedNotification Camel {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        summary_index: i64,
    }
    record ReasoningSummaryTextDeltaNotification Camel {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        delta: Text,
        summary_index: i64,
    }
    record ReasoningTextDeltaNotification Camel {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        delta: Text,
        content_index: i64,
    }
    record CommandExecutionOutputDeltaNotification Camel {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        delta: Text,
    }
    record TerminalInteractionNotification Camel {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        process_id: Text,
        stdin: Text,
    }
    record FileChangeOutputDeltaNotification Camel {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        delta: Text,
    }
    record FileChangePatchUpdatedNotification Camel {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        changes: Vec<FileUpdateChange>,
    }
    record McpToolCallProgressNotification Camel {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        message: Text,
    }
    record RawResponseItemCompletedNotification Camel {
        thread_id: Text,
        turn_id: Text,
        item: ResponseItem,
    }
    record ServerRequestResolvedNotification Camel { thread_id: Text, request_id: RequestId }
    record WarningNotification Camel { thread_id: Option<Text>, message: Text }
    record DeprecationNoticeNotification Camel { summary: Text, details: Option<Text> }
    record ConfigWarningNotification Camel {
        summary: Text,
        details: Option<Text>,
        path: Maybe<Text>,
        range: Maybe<TextRange>,
    }
    record TextRange Camel { start: TextPosition, end: TextPosition }
    record TextPosition Camel { line: u32, column: u32 }
    record AccountUpdatedNotification Camel {
        auth_mode: Option<AuthMode>,
        plan_type: Option<PlanType>,
    }
    record AccountLoginCompletedNotification Camel {
        login_id: Option<Text>,
        success: bool,
        error: Option<Text>,
        onboarding_entrypoint: Option<Text>,
    }
    record AccountRateLimitsUpdatedNotification Camel { rate_limits: RateLimitSnapshot }
    record McpServerStatusUpdatedNotification Camel {
        thread_id: Option<Text>,
        name: Text,
        status: McpServerStartupState,
        error: Option<Text>,
        failure_reason: Option<McpServerStartupFailureReason>,
    }
    words McpServerStartupState Lower { Starting, Ready, Failed, Cancelled }
    words McpServerStartupFailureReason Camel { ReauthenticationRequired }
    record McpServerOauthLoginCompletedNotification Camel {
        name: Text,
        thread_id: Option<Text>,
        login_id: Maybe<Text>,
        success: bool,
        error: Maybe<Text>,
    }
    record CommandExecOutputDeltaNotification Camel {
        process_id: Text,
        stream: CommandExecOutputStream,
        delta_base64: Text,
        cap_reached: bool,
    }
    words CommandExecOutputStream Lower { Stdout, Stderr }
}

protocol! { V2_APPROVALS:
    record CommandExecutionRequestApprovalParams Camel {
        kind: CommandExecutionApprovalKind,
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        started_at_ms: i64,
        approval_id: Option<Text>,
        environment_id: Option<Text>,
        reason: Option<Text>,
        command: Option<Text>,
        cwd: Option<Text>,
        command_actions: Option<Vec<CommandAction>>,
        proposed_execpolicy_amendment: Option<Vec<Text>>,
        available_decisions: Maybe<Vec<CommandExecutionApprovalDecision>>,
    }
    words CommandExecutionApprovalKind Camel { Command, HumanCommand, WriteStdin }
    record CommandExecutionRequestApprovalResponse Camel {
        decision: CommandExecutionApprovalDecision,
    }
    outer CommandExecutionApprovalDecision Camel Snake {
        Accept,
        AcceptForSession,
        AcceptWithExecpolicyAmendment { execpolicy_amendment: Vec<Text> },
        Decline,
        Cancel,
    }
    record FileChangeRequestApprovalParams Camel {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        started_at_ms: i64,
        reason: Option<Text>,
        grant_root: Option<Text>,
    }
    record FileChangeRequestApprovalResponse Camel { decision: FileChangeApprovalDecision }
    words FileChangeApprovalDecision Camel { Accept, AcceptForSession, Decline, Cancel }
}

//! What happens in a conversation of the first protocol, and the items and tools it speaks of.

use super::codec::{Big, Json, Map, Maybe, Text};
use super::declare::protocol;
use super::v1::{
    ConversationId, FileChange, ParsedCommand, ReasoningEffort, SandboxCommandAssessment,
    TurnAbortReason,
};

protocol! { MESSAGES:
    tagged EventMsg type Snake Snake {
        Error(ErrorEvent),
        Warning(WarningEvent),
        TaskStarted(TaskStartedEvent),
        TaskComplete(TaskCompleteEvent),
        TokenCount(TokenCountEvent),
        AgentMessage(AgentMessageEvent),
        UserMessage(UserMessageEvent),
        AgentMessageDelta(AgentMessageDeltaEvent),
        AgentReasoning(AgentReasoningEvent),
        AgentReasoningDelta(AgentReasoningDeltaEvent),
        AgentReasoningRawContent(AgentReasoningRawContentEvent),
        AgentReasoningRawContentDelta(AgentReasoningRawContentDeltaEvent),
        AgentReasoningSectionBreak(AgentReasoningSectionBreakEvent),
        SessionConfigured(SessionConfiguredEvent),
        McpToolCallBegin(McpToolCallBeginEvent),
        McpToolCallEnd(McpToolCallEndEvent),
        WebSearchBegin(WebSearchBeginEvent),
        WebSearchEnd(WebSearchEndEvent),
        ExecCommandBegin(ExecCommandBeginEvent),
        ExecCommandOutputDelta(ExecCommandOutputDeltaEvent),
        ExecCommandEnd(ExecCommandEndEvent),
        ViewImageToolCall(ViewImageToolCallEvent),
        ExecApprovalRequest(ExecApprovalRequestEvent),
        ApplyPatchApprovalRequest(ApplyPatchApprovalRequestEvent),
        DeprecationNotice(DeprecationNoticeEvent),
        BackgroundEvent(BackgroundEventEvent),
        UndoStarted(UndoStartedEvent),
        UndoCompleted(UndoCompletedEvent),
        StreamError(StreamErrorEvent),
        PatchApplyBegin(PatchApplyBeginEvent),
        PatchApplyEnd(PatchApplyEndEvent),
        TurnDiff(TurnDiffEvent),
        GetHistoryEntryResponse(GetHistoryEntryResponseEvent),
        McpListToolsResponse(McpListToolsResponseEvent),
        ListCustomPromptsResponse(ListCustomPromptsResponseEvent),
        PlanUpdate(UpdatePlanArgs),
        TurnAborted(TurnAbortedEvent),
        ShutdownComplete,
        EnteredReviewMode(ReviewRequest),
        ExitedReviewMode(ExitedReviewModeEvent),
        RawResponseItem(RawResponseItemEvent),
        ItemStarted(ItemStartedEvent),
        ItemCompleted(ItemCompletedEvent),
        AgentMessageContentDelta(AgentMessageContentDeltaEvent),
        ReasoningContentDelta(ReasoningContentDeltaEvent),
        ReasoningRawContentDelta(ReasoningRawContentDeltaEvent),
    }
}

protocol! { EVENTS:
    record ErrorEvent Snake { message: Text }
    record WarningEvent Snake { message: Text }
    record BackgroundEventEvent Snake { message: Text }
    record StreamErrorEvent Snake { message: Text }
    record DeprecationNoticeEvent Snake { summary: Text, details: Option<Text> }
    record TaskStartedEvent Snake { model_context_window: Option<Big> }
    record TaskCompleteEvent Snake { last_agent_message: Option<Text> }
    record TurnAbortedEvent Snake { reason: TurnAbortReason }
    record TokenCountEvent Snake {
        info: Option<TokenUsageInfo>,
        rate_limits: Option<RateLimitSnapshot>,
    }
    record TokenUsageInfo Snake {
        total_token_usage: TokenUsage,
        last_token_usage: TokenUsage,
        model_context_window: Option<i64>,
    }
    record TokenUsage Snake {
        input_tokens: i64,
        cached_input_tokens: i64,
        output_tokens: i64,
        reasoning_output_tokens: i64,
        total_tokens: i64,
    }
    record RateLimitSnapshot Snake {
        primary: Option<RateLimitWindow>,
        secondary: Option<RateLimitWindow>,
    }
    record RateLimitWindow Snake {
        used_percent: f64,
        window_minutes: Option<i64>,
        resets_at: Option<i64>,
    }
    record UserMessageEvent Snake { message: Text, images: Option<Vec<Text>> }
    record AgentMessageEvent Snake { message: Text }
    record AgentMessageDeltaEvent Snake { delta: Text }
    record AgentReasoningEvent Snake { text: Text }
    record AgentReasoningDeltaEvent Snake { delta: Text }
    record AgentReasoningRawContentEvent Snake { text: Text }
    record AgentReasoningRawContentDeltaEvent Snake { delta: Text }
    record AgentReasoningSectionBreakEvent Snake {}
    record AgentMessageContentDeltaEvent Snake {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        delta: Text,
    }
    record ReasoningContentDeltaEvent Snake {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        delta: Text,
    }
    record ReasoningRawContentDeltaEvent Snake {
        thread_id: Text,
        turn_id: Text,
        item_id: Text,
        delta: Text,
    }
    record SessionConfiguredEvent Snake {
        session_id: ConversationId,
        model: Text,
        reasoning_effort: Option<ReasoningEffort>,
        history_log_id: Big,
        history_entry_count: u32,
        initial_messages: Option<Vec<EventMsg>>,
        rollout_path: Text,
    }

    record ItemStartedEvent Snake { thread_id: ConversationId, turn_id: Text, item: TurnItem }
    record ItemCompletedEvent Snake { thread_id: ConversationId, turn_id: Text, item: TurnItem }
    outer TurnItem Exact Snake {
        UserMessage(UserMessageItem),
        AgentMessage(AgentMessageItem),
        Reasoning(ReasoningItem),
        WebSearch(WebSearchItem),
    }
    record UserMessageItem Snake { id: Text, content: Vec<UserInput> }
    tagged UserInput type Snake Snake {
        Text { text: Text },
        Image { image_url: Text },
        LocalImage { path: Text },
    }
    record AgentMessageItem Snake { id: Text, content: Vec<AgentMessageContent> }
    outer AgentMessageContent Exact Snake { Text { text: Text } }
    record ReasoningItem Snake { id: Text, summary_text: Vec<Text>, raw_content: Vec<Text> }
    record WebSearchItem Snake { id: Text, query: Text }

    record ExecCommandBeginEvent Snake {
        call_id: Text,
        command: Vec<Text>,
        cwd: Text,
        parsed_cmd: Vec<ParsedCommand>,
        is_user_shell_command: bool,
    }
    record ExecCommandOutputDeltaEvent Snake {
        call_id: Text,
        stream: ExecOutputStream,
        chunk: Text,
    }
    words ExecOutputStream Lower { Stdout, Stderr }
    record ExecCommandEndEvent Snake {
        call_id: Text,
        stdout: Text,
        stderr: Text,
        aggregated_output: Text,
        exit_code: i32,
        duration: Duration,
        formatted_output: Text,
    }
    inline Duration Snake { secs: i64, nanos: u32 }
    record ExecApprovalRequestEvent Snake {
        call_id: Text,
        command: Vec<Text>,
        cwd: Text,
        reason: Option<Text>,
        risk: Option<SandboxCommandAssessment>,
        parsed_cmd: Vec<ParsedCommand>,
    }
    record ApplyPatchApprovalRequestEvent Snake {
        call_id: Text,
        changes: Map<FileChange>,
        reason: Option<Text>,
        grant_root: Option<Text>,
    }
    record PatchApplyBeginEvent Snake {
        call_id: Text,
        auto_approved: bool,
        changes: Map<FileChange>,
    }
    record PatchApplyEndEvent Snake { call_id: Text, stdout: Text, stderr: Text, success: bool }
    record TurnDiffEvent Snake { unified_diff: Text }
    record UpdatePlanArgs Snake { explanation: Option<Text>, plan: Vec<PlanItemArg> }
    record PlanItemArg Snake { step: Text, status: StepStatus }
    words StepStatus Snake { Pending, InProgress, Completed }
    record WebSearchBeginEvent Snake { call_id: Text }
    record WebSearchEndEvent Snake { call_id: Text, query: Text }
    record ViewImageToolCallEvent Snake { call_id: Text, path: Text }
    record RawResponseItemEvent Snake { item: ResponseItem }

    record ReviewRequest Snake { prompt: Text, user_facing_hint: Text }
    record ExitedReviewModeEvent Snake { review_output: Option<ReviewOutputEvent> }
    record ReviewOutputEvent Snake {
        findings: Vec<ReviewFinding>,
        overall_correctness: Text,
        overall_explanation: Text,
        overall_confidence_score: f64,
    }
    record ReviewFinding Snake {
        title: Text,
        body: Text,
        confidence_score: f64,
        priority: i32,
        code_location: ReviewCodeLocation,
    }
    record ReviewCodeLocation Snake { absolute_file_path: Text, line_range: ReviewLineRange }
    record ReviewLineRange Snake { start: u32, end: u32 }

    record UndoStartedEvent Snake { message: Option<Text> }
    record UndoCompletedEvent Snake { success: bool, message: Option<Text> }
    record GetHistoryEntryResponseEvent Snake {
        offset: u32,
        log_id: Big,
        entry: Option<HistoryEntry>,
    }
    record HistoryEntry Snake { conversation_id: Text, ts: Big, text: Text }
    record ListCustomPromptsResponseEvent Snake { custom_prompts: Vec<CustomPrompt> }
    record CustomPrompt Snake {
        name: Text,
        path: Text,
        content: Text,
        description: Option<Text>,
        argument_hint: Option<Text>,
    }

    record McpToolCallBeginEvent Snake { call_id: Text, invocation: McpInvocation }
    record McpToolCallEndEvent Snake {
        call_id: Text,
        invocation: McpInvocation,
        duration: Duration,
        result: McpToolCallOutcome,
    }
    record McpInvocation Snake { server: Text, tool: Text, arguments: Option<Json> }
    outer McpToolCallOutcome Exact Exact { Ok(CallToolResult), Err(Text) }
    record CallToolResult Camel {
        content: Vec<ContentBlock>,
        is_error: Maybe<bool>,
        structured_content: Maybe<Json>,
    }
    either ContentBlock {
        Text(TextContent),
        Image(ImageContent),
        Audio(AudioContent),
        Link(ResourceLink),
        Embedded(EmbeddedResource),
    }
    record Annotations Camel {
        audience: Maybe<Vec<Role>>,
        last_modified: Maybe<Text>,
        priority: Maybe<f64>,
    }
    words Role Lower { Assistant, User }
    record TextContent Camel { annotations: Maybe<Annotations>, text: Text, r#type: Text }
    record ImageContent Camel {
        annotations: Maybe<Annotations>,
        data: Text,
        mime_type: Text,
        r#type: Text,
    }
    record AudioContent Camel {
        annotations: Maybe<Annotations>,
        data: Text,
        mime_type: Text,
        r#type: Text,
    }
    record ResourceLink Camel {
        annotations: Maybe<Annotations>,
        description: Maybe<Text>,
        mime_type: Maybe<Text>,
        name: Text,
        size: Maybe<Big>,
        title: Maybe<Text>,
        r#type: Text,
        uri: Text,
    }
    record EmbeddedResource Camel {
        annotations: Maybe<Annotations>,
        resource: EmbeddedResourceResource,
        r#type: Text,
    }
    either EmbeddedResourceResource { Text(TextResourceContents), Blob(BlobResourceContents) }
    record TextResourceContents Camel { mime_type: Maybe<Text>, text: Text, uri: Text }
    record BlobResourceContents Camel { blob: Text, mime_type: Maybe<Text>, uri: Text }

    record McpListToolsResponseEvent Snake {
        tools: Map<Tool>,
        resources: Map<Vec<Resource>>,
        resource_templates: Map<Vec<ResourceTemplate>>,
        auth_statuses: Map<McpAuthStatus>,
    }
    words McpAuthStatus Snake { Unsupported, NotLoggedIn, BearerToken, OAuth }
    record Tool Camel {
        annotations: Maybe<ToolAnnotations>,
        description: Maybe<Text>,
        input_schema: ToolInputSchema,
        name: Text,
        output_schema: Maybe<ToolOutputSchema>,
        title: Maybe<Text>,
    }
    record ToolAnnotations Camel {
        destructive_hint: Maybe<bool>,
        idempotent_hint: Maybe<bool>,
        open_world_hint: Maybe<bool>,
        read_only_hint: Maybe<bool>,
        title: Maybe<Text>,
    }
    record ToolInputSchema Camel {
        properties: Maybe<Json>,
        required: Maybe<Vec<Text>>,
        r#type: Text,
    }
    record ToolOutputSchema Camel {
        properties: Maybe<Json>,
        required: Maybe<Vec<Text>>,
        r#type: Text,
    }
    record Resource Camel {
        annotations: Maybe<Annotations>,
        description: Maybe<Text>,
        mime_type: Maybe<Text>,
        name: Text,
        size: Maybe<Big>,
        title: Maybe<Text>,
        uri: Text,
    }
    record ResourceTemplate Camel {
        annotations: Maybe<Annotations>,
        description: Maybe<Text>,
        mime_type: Maybe<Text>,
        name: Text,
        title: Maybe<Text>,
        uri_template: Text,
    }

    tagged ResponseItem type Snake Snake {
        Message { role: Text, content: Vec<ContentItem> },
        Reasoning {
            summary: Vec<ReasoningItemReasoningSummary>,
            content: Maybe<Vec<ReasoningItemContent>>,
            encrypted_content: Option<Text>,
        },
        LocalShellCall {
            call_id: Option<Text>,
            status: LocalShellStatus,
            action: LocalShellAction,
        },
        FunctionCall { name: Text, arguments: Text, call_id: Text },
        FunctionCallOutput { call_id: Text, output: FunctionCallOutputPayload },
        CustomToolCall { status: Maybe<Text>, call_id: Text, name: Text, input: Text },
        CustomToolCallOutput { call_id: Text, output: Text },
        WebSearchCall { status: Maybe<Text>, action: WebSearchAction },
        GhostSnapshot { ghost_commit: GhostCommit },
        Other,
    }
    tagged ContentItem type Snake Snake {
        InputText { text: Text },
        InputImage { image_url: Text },
        OutputText { text: Text },
    }
    tagged ReasoningItemReasoningSummary type Snake Snake { SummaryText { text: Text } }
    tagged ReasoningItemContent type Snake Snake {
        ReasoningText { text: Text },
        Text { text: Text },
    }
    words LocalShellStatus Snake { Completed, InProgress, Incomplete }
    tagged LocalShellAction type Snake Snake { Exec(LocalShellExecAction) }
    record LocalShellExecAction Snake {
        command: Vec<Text>,
        timeout_ms: Option<Big>,
        working_directory: Option<Text>,
        env: Option<Map<Text>>,
        user: Option<Text>,
    }
    either FunctionCallOutputPayload {
        Text(Text),
        Items(Vec<FunctionCallOutputContentItem>),
    }
    tagged FunctionCallOutputContentItem type Snake Snake {
        InputText { text: Text },
        InputImage { image_url: Text },
    }
    tagged WebSearchAction type Snake Snake { Search { query: Maybe<Text> }, Other }
    record GhostCommit Snake {
        id: Text,
        parent: Option<Text>,
        preexisting_untracked_files: Vec<Text>,
        preexisting_untracked_dirs: Vec<Text>,
    }
}

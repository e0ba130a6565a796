//! The first protocol: conversations, as clients of 0.58 speak it.

use super::codec::{Big, Json, Map, Maybe, Preset, Text};
use super::declare::protocol;
use super::events::{EventMsg, ResponseItem};

protocol! { SHARED:
    either RequestId { Word(Text), Number(i64) }

    record JSONRPCRequest Camel { id: RequestId, method: Text, params: Maybe<Json> }
    record JSONRPCNotification Camel { method: Text, params: Maybe<Json> }
    record JSONRPCResponse Camel { id: RequestId, result: Json }
    record JSONRPCError Camel { error: JSONRPCErrorError, id: RequestId }
    record JSONRPCErrorError Camel { code: i64, data: Maybe<Json>, message: Text }
    either JSONRPCMessage {
        Request(JSONRPCRequest),
        Notification(JSONRPCNotification),
        Response(JSONRPCResponse),
        Error(JSONRPCError),
    }

    record ExecCommandApprovalParams Camel {
        conversation_id: ConversationId,
        call_id: Text,
        command: Vec<Text>,
        cwd: Text,
        reason: Option<Text>,
        risk: Option<SandboxCommandAssessment>,
        parsed_cmd: Vec<ParsedCommand>,
    }
    record ExecCommandApprovalResponse Camel { decision: ReviewDecision }
    record ApplyPatchApprovalParams Camel {
        conversation_id: ConversationId,
        call_id: Text,
        file_changes: Map<FileChange>,
        reason: Option<Text>,
        grant_root: Option<Text>,
    }
    record ApplyPatchApprovalResponse Camel { decision: ReviewDecision }

    record FuzzyFileSearchParams Camel {
        query: Text,
        roots: Vec<Text>,
        cancellation_token: Option<Text>,
    }
    record FuzzyFileSearchResponse Camel { files: Vec<FuzzyFileSearchResult> }

    outer FileChange Snake Snake {
        Add { content: Text },
        Delete { content: Text },
        Update { unified_diff: Text, move_path: Option<Text> },
    }
    tagged InputItem type Camel Camel {
        Text { data: TextInput },
        Image { data: ImageInput },
        LocalImage { data: LocalImageInput },
    }
    tagged ParsedCommand type Snake Snake {
        Read { cmd: Text, name: Text, path: Text },
        ListFiles { cmd: Text, path: Option<Text> },
        Search { cmd: Text, query: Option<Text>, path: Option<Text> },
        Unknown { cmd: Text },
    }
    tagged SandboxPolicy mode Kebab Snake {
        DangerFullAccess,
        ReadOnly,
        WorkspaceWrite {
            writable_roots: Maybe<Vec<Text>>,
            network_access: Preset<bool>,
            exclude_tmpdir_env_var: Preset<bool>,
            exclude_slash_tmp: Preset<bool>,
        },
    }
}

protocol! { V1:
    alias ConversationId { Text }
    alias GitSha { Text }

    inline TextInput Snake { text: Text }
    inline ImageInput Snake { image_url: Text }
    inline LocalImageInput Snake { path: Text }

    words AskForApproval Kebab {
        UnlessTrusted = "untrusted",
        OnFailure,
        OnRequest,
        Never,
    }
    words SandboxMode Kebab { ReadOnly, WorkspaceWrite, DangerFullAccess }
    words ReasoningEffort Lower { None, Minimal, Low, Medium, High }
    words ReasoningSummary Lower { Auto, Concise, Detailed, None }
    words Verbosity Lower { Low, Medium, High }
    words AuthMode Lower { ApiKey, ChatGPT = "chatgpt" }
    words ForcedLoginMethod Lower { Chatgpt, Api }
    words ReviewDecision Snake { Approved, ApprovedForSession, Denied, Abort }
    words TurnAbortReason Snake { Interrupted, Replaced, ReviewEnded }
    words SandboxRiskLevel Lower { Low, Medium, High }
    outer SessionSource Lower Camel {
        Cli,
        VSCode = "vscode",
        Exec,
        Mcp,
        SubAgent(SubAgentSource),
        Unknown,
    }
    outer SubAgentSource Snake Snake { Review, Compact, Other(Text) }
    record SandboxCommandAssessment Snake { description: Text, risk_level: SandboxRiskLevel }

    record InitializeParams Camel {
        client_info: ClientInfo,
        capabilities: Option<InitializeCapabilities>,
    }
    record ClientInfo Camel { name: Text, title: Option<Text>, version: Text }
    record InitializeCapabilities Camel {
        experimental_api: Preset<bool>,
        request_attestation: Preset<bool>,
        opt_out_notification_methods: Option<Vec<Text>>,
    }
    record InitializeResponse Camel {
        user_agent: Text,
        codex_home: Text,
        platform_family: Text,
        platform_os: Text,
    }

    record NewConversationParams Camel {
        model: Option<Text>,
        model_provider: Option<Text>,
        profile: Option<Text>,
        cwd: Option<Text>,
        approval_policy: Option<AskForApproval>,
        sandbox: Option<SandboxMode>,
        config: Option<Map<Json>>,
        base_instructions: Option<Text>,
        developer_instructions: Option<Text>,
        compact_prompt: Option<Text>,
        include_apply_patch_tool: Option<bool>,
    }
    record NewConversationResponse Camel {
        conversation_id: ConversationId,
        model: Text,
        reasoning_effort: Option<ReasoningEffort>,
        rollout_path: Text,
    }
    record ResumeConversationParams Camel {
        path: Option<Text>,
        conversation_id: Option<ConversationId>,
        history: Option<Vec<ResponseItem>>,
        overrides: Option<NewConversationParams>,
    }
    record ResumeConversationResponse Camel {
        conversation_id: ConversationId,
        model: Text,
        initial_messages: Option<Vec<EventMsg>>,
        rollout_path: Text,
    }
    record AddConversationListenerParams Camel {
        conversation_id: ConversationId,
        experimental_raw_events: Preset<bool>,
    }
    record AddConversationSubscriptionResponse Camel { subscription_id: Text }
    record RemoveConversationListenerParams Camel { subscription_id: Text }
    record RemoveConversationSubscriptionResponse Camel {}
    record SendUserMessageParams Camel {
        conversation_id: ConversationId,
        items: Vec<InputItem>,
    }
    record SendUserMessageResponse Camel {}
    record SendUserTurnParams Camel {
        conversation_id: ConversationId,
        items: Vec<InputItem>,
        cwd: Text,
        approval_policy: AskForApproval,
        sandbox_policy: SandboxPolicy,
        model: Text,
        effort: Option<ReasoningEffort>,
        summary: ReasoningSummary,
    }
    record SendUserTurnResponse Camel {}
    record InterruptConversationParams Camel { conversation_id: ConversationId }
    record InterruptConversationResponse Camel { abort_reason: TurnAbortReason }
    record ListConversationsParams Camel {
        page_size: Option<u32>,
        cursor: Option<Text>,
        model_providers: Option<Vec<Text>>,
    }
    record ListConversationsResponse Camel {
        items: Vec<ConversationSummary>,
        next_cursor: Option<Text>,
    }
    record ConversationSummary Camel {
        conversation_id: ConversationId,
        path: Text,
        preview: Text,
        timestamp: Option<Text>,
        model_provider: Text,
        cwd: Text,
        cli_version: Text,
        source: SessionSource,
        git_info: Option<ConversationGitInfo>,
    }
    record ConversationGitInfo Snake {
        sha: Option<Text>,
        branch: Option<Text>,
        origin_url: Option<Text>,
    }
    record ArchiveConversationParams Camel { conversation_id: ConversationId, rollout_path: Text }
    record ArchiveConversationResponse Camel {}
    either GetConversationSummaryParams {
        ByRolloutPath(SummaryByRolloutPath),
        ByConversationId(SummaryByConversationId),
    }
    inline SummaryByRolloutPath Camel { rollout_path: Text }
    inline SummaryByConversationId Camel { conversation_id: ConversationId }
    record GetConversationSummaryResponse Camel { summary: ConversationSummary }

    record LoginApiKeyParams Camel { api_key: Text }
    record LoginApiKeyResponse Camel {}
    record LoginChatGptResponse Camel { login_id: Text, auth_url: Text }
    record CancelLoginChatGptParams Camel { login_id: Text }
    record CancelLoginChatGptResponse Camel {}
    record LogoutChatGptResponse Camel {}
    record GetAuthStatusParams Camel { include_token: Option<bool>, refresh_token: Option<bool> }
    record GetAuthStatusResponse Camel {
        auth_method: Option<AuthMode>,
        auth_token: Option<Text>,
        requires_openai_auth: Option<bool>,
    }
    record UserInfoResponse Camel { alleged_user_email: Option<Text> }
    record GetUserAgentResponse Camel { user_agent: Text }

    record GetUserSavedConfigResponse Camel { config: UserSavedConfig }
    record UserSavedConfig Camel {
        approval_policy: Option<AskForApproval>,
        sandbox_mode: Option<SandboxMode>,
        sandbox_settings: Option<SandboxSettings>,
        forced_chatgpt_workspace_id: Option<Text>,
        forced_login_method: Option<ForcedLoginMethod>,
        model: Option<Text>,
        model_reasoning_effort: Option<ReasoningEffort>,
        model_reasoning_summary: Option<ReasoningSummary>,
        model_verbosity: Option<Verbosity>,
        tools: Option<Tools>,
        profile: Option<Text>,
        profiles: Map<Profile>,
    }
    record SandboxSettings Camel {
        writable_roots: Preset<Vec<Text>>,
        network_access: Option<bool>,
        exclude_tmpdir_env_var: Option<bool>,
        exclude_slash_tmp: Option<bool>,
    }
    record Tools Camel { web_search: Option<bool>, view_image: Option<bool> }
    record Profile Camel {
        model: Option<Text>,
        model_provider: Option<Text>,
        approval_policy: Option<AskForApproval>,
        model_reasoning_effort: Option<ReasoningEffort>,
        model_reasoning_summary: Option<ReasoningSummary>,
        model_verbosity: Option<Verbosity>,
        chatgpt_base_url: Option<Text>,
    }
    record SetDefaultModelParams Camel {
        model: Option<Text>,
        reasoning_effort: Option<ReasoningEffort>,
    }
    record SetDefaultModelResponse Camel {}

    record GitDiffToRemoteParams Camel { cwd: Text }
    record GitDiffToRemoteResponse Camel { sha: GitSha, diff: Text }
    record FuzzyFileSearchResult Snake {
        root: Text,
        path: Text,
        file_name: Text,
        match_type: Maybe<FuzzyFileSearchMatchType>,
        score: u32,
        indices: Option<Vec<u32>>,
    }
    words FuzzyFileSearchMatchType Lower { File, Directory }
    record ExecOneOffCommandParams Camel {
        command: Vec<Text>,
        timeout_ms: Option<Big>,
        cwd: Option<Text>,
        sandbox_policy: Option<SandboxPolicy>,
    }
    record ExecOneOffCommandResponse Camel { exit_code: i32, stdout: Text, stderr: Text }

    record AuthStatusChangeNotification Camel { auth_method: Option<AuthMode> }
    record LoginChatGptCompleteNotification Camel {
        login_id: Text,
        success: bool,
        error: Option<Text>,
    }
    record SessionConfiguredNotification Camel {
        session_id: ConversationId,
        model: Text,
        reasoning_effort: Option<ReasoningEffort>,
        history_log_id: Big,
        history_entry_count: u32,
        initial_messages: Option<Vec<EventMsg>>,
        rollout_path: Text,
    }
}

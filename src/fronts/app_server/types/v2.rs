//! The second protocol: what clients ask of threads, turns, models, accounts and configuration.
//!
//! In the shape of 0.169; where 0.58 spelled a word otherwise, both are read.

use super::codec::{Json, Map, Maybe, Preset, Text};
use super::declare::protocol;
use super::v1::ReasoningSummary;
use super::v2_items::{ReasoningEffort, Thread, Turn, TurnItemsView, UserInput};

protocol! { V2:
    outer AskForApproval Kebab Snake {
        UnlessTrusted = "untrusted" | "unlessTrusted",
        OnFailure | "onFailure",
        OnRequest | "onRequest",
        Granular {
            sandbox_approval: bool,
            rules: bool,
            skill_approval: Preset<bool>,
            request_permissions: Preset<bool>,
            mcp_elicitations: bool,
        },
        Never,
    }
    words ApprovalsReviewer Snake { User, AutoReview, GuardianSubagent }
    words SandboxMode Kebab {
        ReadOnly | "readOnly",
        WorkspaceWrite | "workspaceWrite",
        DangerFullAccess | "dangerFullAccess",
    }
    tagged SandboxPolicy type Camel Camel {
        DangerFullAccess,
        ReadOnly { network_access: Preset<bool> },
        ExternalSandbox { network_access: Maybe<NetworkAccess> },
        WorkspaceWrite {
            writable_roots: Preset<Vec<Text>>,
            network_access: Preset<bool>,
            exclude_tmpdir_env_var: Preset<bool>,
            exclude_slash_tmp: Preset<bool>,
        },
    }
    words NetworkAccess Lower { Restricted, Enabled }
    words Personality Lower { None, Friendly, Pragmatic }
    words SortDirection Lower { Asc, Desc }

    record ThreadStartParams Camel {
        model: Option<Text>,
        model_provider: Option<Text>,
        service_tier: Option<Text>,
        cwd: Option<Text>,
        approval_policy: Option<AskForApproval>,
        approvals_reviewer: Option<ApprovalsReviewer>,
        sandbox: Option<SandboxMode>,
        config: Option<Map<Json>>,
        service_name: Option<Text>,
        base_instructions: Option<Text>,
        developer_instructions: Option<Text>,
        personality: Option<Personality>,
        ephemeral: Option<bool>,
        session_start_source: Option<ThreadStartSource>,
        thread_source: Option<Text>,
    }
    words ThreadStartSource Lower { Startup, Clear }
    record ThreadStartResponse Camel {
        thread: Thread,
        model: Text,
        model_provider: Text,
        service_tier: Option<Text>,
        disabled_plugin_ids: Vec<Text>,
        cwd: Text,
        instruction_sources: Vec<Text>,
        approval_policy: AskForApproval,
        approvals_reviewer: ApprovalsReviewer,
        sandbox: SandboxPolicy,
        reasoning_effort: Option<ReasoningEffort>,
    }
    record ThreadResumeParams Camel {
        thread_id: Text,
        history: Option<Vec<Json>>,
        path: Option<Text>,
        model: Option<Text>,
        model_provider: Option<Text>,
        service_tier: Option<Text>,
        cwd: Option<Text>,
        approval_policy: Option<AskForApproval>,
        approvals_reviewer: Option<ApprovalsReviewer>,
        sandbox: Option<SandboxMode>,
        config: Option<Map<Json>>,
        base_instructions: Option<Text>,
        developer_instructions: Option<Text>,
        personality: Option<Personality>,
        exclude_turns: Preset<bool>,
    }
    record ThreadResumeResponse Camel {
        thread: Thread,
        model: Text,
        model_provider: Text,
        service_tier: Option<Text>,
        disabled_plugin_ids: Vec<Text>,
        cwd: Text,
        instruction_sources: Vec<Text>,
        approval_policy: AskForApproval,
        approvals_reviewer: ApprovalsReviewer,
        sandbox: SandboxPolicy,
        reasoning_effort: Option<ReasoningEffort>,
        collaboration_mode: Option<CollaborationMode>,
        turns_backwards_cursor: Option<Text>,
        items_backwards_cursor: Option<Text>,
    }
    record CollaborationMode Camel { mode: ModeKind, settings: Settings }
    words ModeKind Lower { Plan, Default }
    record Settings Snake {
        model: Text,
        reasoning_effort: Option<ReasoningEffort>,
        developer_instructions: Option<Text>,
    }
    record ThreadForkParams Camel {
        thread_id: Text,
        last_turn_id: Option<Text>,
        model: Option<Text>,
        model_provider: Option<Text>,
        service_tier: Option<Text>,
        cwd: Option<Text>,
        approval_policy: Option<AskForApproval>,
        approvals_reviewer: Option<ApprovalsReviewer>,
        sandbox: Option<SandboxMode>,
        config: Option<Map<Json>>,
        base_instructions: Option<Text>,
        developer_instructions: Option<Text>,
        ephemeral: Preset<bool>,
        thread_source: Option<Text>,
        exclude_turns: Preset<bool>,
    }
    record ThreadForkResponse Camel {
        thread: Thread,
        model: Text,
        model_provider: Text,
        service_tier: Option<Text>,
        disabled_plugin_ids: Vec<Text>,
        cwd: Text,
        instruction_sources: Vec<Text>,
        approval_policy: AskForApproval,
        approvals_reviewer: ApprovalsReviewer,
        sandbox: SandboxPolicy,
        reasoning_effort: Option<ReasoningEffort>,
    }
    record ThreadListParams Camel {
        cursor: Option<Text>,
        limit: Option<u32>,
        excluded_thread_ids: Option<Vec<Text>>,
        sort_key: Option<ThreadSortKey>,
        sort_direction: Option<SortDirection>,
        model_providers: Option<Vec<Text>>,
        source_kinds: Option<Vec<ThreadSourceKind>>,
        originators: Option<Vec<Text>>,
        archived: Option<bool>,
        section_id: Option<Text>,
        cwd: Option<ThreadListCwdFilter>,
        current_account_only: Preset<bool>,
        use_state_db_only: Preset<bool>,
        search_term: Option<Text>,
    }
    either ThreadListCwdFilter { One(Text), Many(Vec<Text>) }
    words ThreadSortKey Snake { CreatedAt, UpdatedAt, RecencyAt, SectionPosition }
    words ThreadSourceKind Camel {
        Cli,
        VSCode = "vscode",
        Exec,
        AppServer,
        SubAgent,
        SubAgentReview,
        SubAgentCompact,
        SubAgentThreadSpawn,
        SubAgentOther,
        Unknown,
    }
    record ThreadListResponse Camel {
        data: Vec<Thread>,
        next_cursor: Option<Text>,
        backwards_cursor: Option<Text>,
    }
    record ThreadReadParams Camel { thread_id: Text, include_turns: Preset<bool> }
    record ThreadReadResponse Camel { thread: Thread }
    record ThreadArchiveParams Camel { thread_id: Text }
    record ThreadArchiveResponse Camel {}
    record ThreadUnarchiveParams Camel { thread_id: Text }
    record ThreadUnarchiveResponse Camel { thread: Thread }
    record ThreadSetNameParams Camel { thread_id: Text, name: Text }
    record ThreadSetNameResponse Camel {}
    record ThreadLoadedListParams Camel { cursor: Option<Text>, limit: Option<u32> }
    record ThreadLoadedListResponse Camel { data: Vec<Text>, next_cursor: Option<Text> }
    record ThreadUnsubscribeParams Camel { thread_id: Text }
    record ThreadUnsubscribeResponse Camel { status: ThreadUnsubscribeStatus }
    words ThreadUnsubscribeStatus Camel { NotLoaded, NotSubscribed, Unsubscribed }
    record ThreadCompactStartParams Camel { thread_id: Text }
    record ThreadCompactStartResponse Camel {}
    record ThreadTurnsListParams Camel {
        thread_id: Text,
        cursor: Option<Text>,
        limit: Option<u32>,
        sort_direction: Option<SortDirection>,
        items_view: Option<TurnItemsView>,
    }
    record ThreadTurnsListResponse Camel {
        data: Vec<Turn>,
        next_cursor: Option<Text>,
        backwards_cursor: Option<Text>,
    }
    record ThreadShellCommandParams Camel {
        thread_id: Text,
        command: Text,
        timeout_ms: Option<i64>,
    }
    record ThreadShellCommandResponse Camel {}

    record TurnStartParams Camel {
        thread_id: Text,
        client_user_message_id: Option<Text>,
        input: Vec<UserInput>,
        cwd: Option<Text>,
        approval_policy: Option<AskForApproval>,
        approvals_reviewer: Option<ApprovalsReviewer>,
        sandbox_policy: Option<SandboxPolicy>,
        model: Option<Text>,
        service_tier: Option<Text>,
        effort: Option<ReasoningEffort>,
        summary: Option<ReasoningSummary>,
        personality: Option<Personality>,
        output_schema: Option<Json>,
    }
    record TurnStartResponse Camel { turn: Turn }
    record TurnSteerParams Camel {
        thread_id: Text,
        client_user_message_id: Option<Text>,
        input: Vec<UserInput>,
        expected_turn_id: Text,
    }
    record TurnSteerResponse Camel { turn_id: Text }
    record TurnInterruptParams Camel { thread_id: Text, turn_id: Text }
    record TurnInterruptResponse Camel {}
    record ReviewStartParams Camel {
        thread_id: Text,
        target: ReviewTarget,
        delivery: Option<ReviewDelivery>,
    }
    tagged ReviewTarget type Camel Camel {
        UncommittedChanges,
        BaseBranch { branch: Text },
        Commit { sha: Text, title: Option<Text> },
        Custom { instructions: Text },
    }
    words ReviewDelivery Lower { Inline, Detached }
    record ReviewStartResponse Camel { turn: Turn, review_thread_id: Text }

    record ModelListParams Camel {
        model_provider: Option<Text>,
        cursor: Option<Text>,
        limit: Option<u32>,
        include_hidden: Option<bool>,
    }
    record ModelListResponse Camel { data: Vec<Model>, next_cursor: Option<Text> }
    record Model Camel {
        id: Text,
        model: Text,
        upgrade: Option<Text>,
        upgrade_info: Option<ModelUpgradeInfo>,
        availability_nux: Option<ModelAvailabilityNux>,
        display_name: Text,
        description: Text,
        model_specialty: Option<Text>,
        hidden: bool,
        supported_reasoning_efforts: Vec<ReasoningEffortOption>,
        default_reasoning_effort: ReasoningEffort,
        input_modalities: Vec<InputModality>,
        supports_personality: bool,
        multi_agent_version: Option<MultiAgentVersion>,
        additional_speed_tiers: Vec<Text>,
        service_tiers: Vec<ModelServiceTier>,
        default_service_tier: Option<Text>,
        available_access_programs: Option<Json>,
        is_default: bool,
    }
    record ModelUpgradeInfo Camel {
        model: Text,
        upgrade_copy: Option<Text>,
        model_link: Option<Text>,
        migration_markdown: Option<Text>,
        retirement_at: Option<i64>,
    }
    record ModelAvailabilityNux Camel { message: Text }
    record ReasoningEffortOption Camel { reasoning_effort: ReasoningEffort, description: Text }
    words InputModality Lower { Text, Image, Audio }
    words MultiAgentVersion Lower { Disabled, V1, V2 }
    record ModelServiceTier Camel { id: Text, name: Text, description: Text }

    record GetAccountParams Camel { refresh_token: Preset<bool> }
    record GetAccountResponse Camel {
        account: Option<Account>,
        user_id: Option<Text>,
        requires_openai_auth: bool,
    }
    tagged Account type Camel Camel {
        ApiKey,
        Chatgpt { email: Option<Text>, plan_type: PlanType, workspace_name: Option<Text> },
    }
    words AuthMode Lower {
        ApiKey,
        ChatGPT = "chatgpt",
        ChatgptAuthTokens = "chatgptAuthTokens",
    }
    words PlanType Lower {
        Free, Go, Plus, Pro, Team, Business, Enterprise, Edu, Unknown,
    }
    tagged LoginAccountParams type Camel Camel {
        ApiKey { api_key: Text },
        Chatgpt,
        ChatgptDeviceCode,
        ChatgptAuthTokens {
            access_token: Text,
            chatgpt_account_id: Text,
            chatgpt_plan_type: Option<Text>,
        },
    }
    tagged LoginAccountResponse type Camel Camel {
        ApiKey,
        Chatgpt { login_id: Text, auth_url: Text },
        ChatgptDeviceCode { login_id: Text, verification_url: Text, user_code: Text },
        ChatgptAuthTokens,
    }
    record CancelLoginAccountParams Camel { login_id: Text }
    record CancelLoginAccountResponse Camel { status: CancelLoginAccountStatus }
    words CancelLoginAccountStatus Camel { Canceled, NotFound }
    record LogoutAccountResponse Camel {}
    record GetAccountRateLimitsResponse Camel {
        ordinary_usage_allowed: Option<bool>,
        rate_limits: RateLimitSnapshot,
        rate_limits_by_limit_id: Option<Map<RateLimitSnapshot>>,
        rate_limit_reset_credits: Option<Json>,
        account_id: Option<Text>,
        rate_limit_upsell: Option<Json>,
    }
    record RateLimitSnapshot Camel {
        limit_id: Option<Text>,
        limit_name: Option<Text>,
        normal_model_slug: Option<Text>,
        primary: Option<RateLimitWindow>,
        secondary: Option<RateLimitWindow>,
        credits: Option<CreditsSnapshot>,
        individual_limit: Option<Json>,
        spend_control_reached: Option<bool>,
        plan_type: Option<PlanType>,
        rate_limit_reached_type: Option<RateLimitReachedType>,
    }
    record RateLimitWindow Camel {
        used_percent: i32,
        window_duration_mins: Option<i64>,
        resets_at: Option<i64>,
    }
    record CreditsSnapshot Camel { has_credits: bool, unlimited: bool, balance: Option<Text> }
    words RateLimitReachedType Snake {
        RateLimitReached,
        WorkspaceOwnerCreditsDepleted,
        WorkspaceMemberCreditsDepleted,
        WorkspaceOwnerUsageLimitReached,
        WorkspaceMemberUsageLimitReached,
    }
    record FeedbackUploadParams Camel {
        classification: Text,
        reason: Option<Text>,
        thread_id: Option<Text>,
        conversation_id: Option<Text>,
        include_logs: Preset<bool>,
        extra_log_files: Option<Vec<Text>>,
        tags: Option<Map<Text>>,
    }
    record FeedbackUploadResponse Camel { thread_id: Text, prompt_hash: Option<Text> }

    alias Config { Map<Json> }
    record ConfigReadParams Camel { include_layers: Preset<bool>, cwd: Option<Text> }
    record ConfigReadResponse Camel {
        config: Config,
        origins: Map<ConfigLayerMetadata>,
        layers: Option<Vec<ConfigLayer>>,
    }
    record ConfigLayerMetadata Camel { name: ConfigLayerSource, version: Text }
    record ConfigLayer Camel {
        name: ConfigLayerSource,
        version: Text,
        config: Json,
        disabled_reason: Option<Text>,
    }
    tagged ConfigLayerSource type Camel Camel {
        System { file: Text },
        User { file: Text, profile: Option<Text> },
        Project { dot_codex_folder: Text },
        SessionFlags,
        LegacyManagedConfigTomlFromFile { file: Text },
    }
    words MergeStrategy Lower { Replace, Upsert }
    record ConfigValueWriteParams Camel {
        key_path: Text,
        value: Json,
        merge_strategy: MergeStrategy,
        file_path: Option<Text>,
        expected_version: Option<Text>,
    }
    record ConfigBatchWriteParams Camel {
        edits: Vec<ConfigEdit>,
        file_path: Option<Text>,
        expected_version: Option<Text>,
        reload_user_config: Preset<bool>,
    }
    record ConfigEdit Camel { key_path: Text, value: Json, merge_strategy: MergeStrategy }
    record ConfigWriteResponse Camel {
        status: WriteStatus,
        version: Text,
        file_path: Text,
        overridden_metadata: Option<OverriddenMetadata>,
    }
    words WriteStatus Camel { Ok, OkOverridden }
    record OverriddenMetadata Camel {
        message: Text,
        overriding_layer: ConfigLayerMetadata,
        effective_value: Json,
    }

    record CommandExecParams Camel {
        command: Vec<Text>,
        process_id: Option<Text>,
        tty: Preset<bool>,
        stream_stdin: Preset<bool>,
        stream_stdout_stderr: Preset<bool>,
        output_bytes_cap: Option<i64>,
        disable_output_cap: Preset<bool>,
        disable_timeout: Preset<bool>,
        timeout_ms: Option<i64>,
        cwd: Option<Text>,
        env: Option<Map<Option<Text>>>,
        size: Option<CommandExecTerminalSize>,
        sandbox_policy: Option<SandboxPolicy>,
    }
    record CommandExecTerminalSize Camel { rows: u16, cols: u16 }
    record CommandExecResponse Camel { exit_code: i32, stdout: Text, stderr: Text }
    record CommandExecWriteParams Camel {
        process_id: Text,
        delta_base64: Option<Text>,
        close_stdin: Preset<bool>,
    }
    record CommandExecWriteResponse Camel {}
    record CommandExecTerminateParams Camel { process_id: Text }
    record CommandExecTerminateResponse Camel {}
    record CommandExecResizeParams Camel { process_id: Text, size: CommandExecTerminalSize }
    record CommandExecResizeResponse Camel {}

    record ListMcpServerStatusParams Camel {
        cursor: Option<Text>,
        limit: Option<u32>,
        detail: Option<McpServerStatusDetail>,
        thread_id: Option<Text>,
        server_name: Option<Text>,
    }
    words McpServerStatusDetail Camel { Full, ToolsAndAuthOnly }
    record ListMcpServerStatusResponse Camel {
        data: Vec<McpServerStatus>,
        next_cursor: Option<Text>,
    }
    record McpServerStatus Camel {
        name: Text,
        runtime_status: Option<McpServerConnectionStatus>,
        plugin_id: Option<Text>,
        http_origin: Option<Text>,
        server_info: Option<McpServerInfo>,
        server_capabilities: Option<Json>,
        tool_list_meta: Option<Json>,
        tools: Map<Json>,
        tools_error: Option<Text>,
        resources: Vec<Json>,
        resource_templates: Vec<Json>,
        auth_status: McpAuthStatus,
    }
    record McpServerInfo Camel {
        name: Text,
        title: Option<Text>,
        version: Text,
        description: Option<Text>,
        icons: Option<Vec<Json>>,
        website_url: Option<Text>,
    }
    words McpServerConnectionStatus Camel {
        NotStarted, Starting, Connected, AuthenticationRequired, Failed, Cancelled, Disabled,
    }
    words McpAuthStatus Camel { Unknown, Unsupported, NotLoggedIn, BearerToken, OAuth }
    record McpServerOauthLoginParams Camel {
        name: Text,
        thread_id: Option<Text>,
        scopes: Option<Vec<Text>>,
        timeout_secs: Option<i64>,
    }
    record McpServerOauthLoginResponse Camel { authorization_url: Text, login_id: Maybe<Text> }
    record ExperimentalFeatureListParams Camel {
        cursor: Option<Text>,
        limit: Option<u32>,
        thread_id: Option<Text>,
    }
    record ExperimentalFeatureListResponse Camel {
        data: Vec<ExperimentalFeature>,
        next_cursor: Option<Text>,
    }
    record ExperimentalFeature Camel {
        name: Text,
        stage: ExperimentalFeatureStage,
        display_name: Option<Text>,
        description: Option<Text>,
        announcement: Option<Text>,
        enabled: bool,
        default_enabled: bool,
    }
    words ExperimentalFeatureStage Camel { Beta, UnderDevelopment, Stable, Deprecated, Removed }
}

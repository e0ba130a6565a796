//! The tables of methods: every request and notification of either side, with what it carries.
//!
//! What is exported as schemas is what these tables lead to, so a method cannot be without one.

use super::declare::protocol;
use super::v1::{
    AddConversationListenerParams, AddConversationSubscriptionResponse, ApplyPatchApprovalParams,
    ApplyPatchApprovalResponse, ArchiveConversationParams, ArchiveConversationResponse,
    AuthStatusChangeNotification, CancelLoginChatGptParams, CancelLoginChatGptResponse,
    ExecCommandApprovalParams, ExecCommandApprovalResponse, ExecOneOffCommandParams,
    ExecOneOffCommandResponse, FuzzyFileSearchParams, FuzzyFileSearchResponse, GetAuthStatusParams,
    GetAuthStatusResponse, GetConversationSummaryParams, GetConversationSummaryResponse,
    GetUserAgentResponse, GetUserSavedConfigResponse, GitDiffToRemoteParams,
    GitDiffToRemoteResponse, InitializeParams, InitializeResponse, InterruptConversationParams,
    InterruptConversationResponse, ListConversationsParams, ListConversationsResponse,
    LoginApiKeyParams, LoginApiKeyResponse, LoginChatGptCompleteNotification, LoginChatGptResponse,
    LogoutChatGptResponse, NewConversationParams, NewConversationResponse,
    RemoveConversationListenerParams, RemoveConversationSubscriptionResponse,
    ResumeConversationParams, ResumeConversationResponse, SendUserMessageParams,
    SendUserMessageResponse, SendUserTurnParams, SendUserTurnResponse,
    SessionConfiguredNotification, SetDefaultModelParams, SetDefaultModelResponse,
    UserInfoResponse,
};
use super::{v2, v2_items};

protocol! { METHODS:
    requests ClientRequest {
        Initialize(InitializeParams) = "initialize" => InitializeResponse,

        ThreadStart(v2::ThreadStartParams) = "thread/start" => v2::ThreadStartResponse,
        ThreadResume(v2::ThreadResumeParams) = "thread/resume" => v2::ThreadResumeResponse,
        ThreadFork(v2::ThreadForkParams) = "thread/fork" => v2::ThreadForkResponse,
        ThreadList(v2::ThreadListParams) = "thread/list" => v2::ThreadListResponse,
        ThreadRead(v2::ThreadReadParams) = "thread/read" => v2::ThreadReadResponse,
        ThreadArchive(v2::ThreadArchiveParams) = "thread/archive" => v2::ThreadArchiveResponse,
        ThreadUnarchive(v2::ThreadUnarchiveParams) = "thread/unarchive"
            => v2::ThreadUnarchiveResponse,
        ThreadSetName(v2::ThreadSetNameParams) = "thread/name/set" => v2::ThreadSetNameResponse,
        ThreadLoadedList(v2::ThreadLoadedListParams) = "thread/loaded/list"
            => v2::ThreadLoadedListResponse,
        ThreadUnsubscribe(v2::ThreadUnsubscribeParams) = "thread/unsubscribe"
            => v2::ThreadUnsubscribeResponse,
        ThreadCompactStart(v2::ThreadCompactStartParams) = "thread/compact/start"
            => v2::ThreadCompactStartResponse,
        ThreadTurnsList(v2::ThreadTurnsListParams) = "thread/turns/list"
            => v2::ThreadTurnsListResponse,
        ThreadShellCommand(v2::ThreadShellCommandParams) = "thread/shellCommand"
            => v2::ThreadShellCommandResponse,
        TurnStart(v2::TurnStartParams) = "turn/start" => v2::TurnStartResponse,
        TurnSteer(v2::TurnSteerParams) = "turn/steer" => v2::TurnSteerResponse,
        TurnInterrupt(v2::TurnInterruptParams) = "turn/interrupt" => v2::TurnInterruptResponse,
        ReviewStart(v2::ReviewStartParams) = "review/start" => v2::ReviewStartResponse,
        ModelList(v2::ModelListParams) = "model/list" => v2::ModelListResponse,
        LoginAccount(v2::LoginAccountParams) = "account/login/start" => v2::LoginAccountResponse,
        CancelLoginAccount(v2::CancelLoginAccountParams) = "account/login/cancel"
            => v2::CancelLoginAccountResponse,
        LogoutAccount = "account/logout" => v2::LogoutAccountResponse,
        GetAccountRateLimits = "account/rateLimits/read" => v2::GetAccountRateLimitsResponse,
        GetAccount(v2::GetAccountParams) = "account/read" => v2::GetAccountResponse,
        FeedbackUpload(v2::FeedbackUploadParams) = "feedback/upload"
            => v2::FeedbackUploadResponse,
        ConfigRead(v2::ConfigReadParams) = "config/read" => v2::ConfigReadResponse,
        ConfigValueWrite(v2::ConfigValueWriteParams) = "config/value/write"
            => v2::ConfigWriteResponse,
        ConfigBatchWrite(v2::ConfigBatchWriteParams) = "config/batchWrite"
            => v2::ConfigWriteResponse,
        CommandExec(v2::CommandExecParams) = "command/exec" => v2::CommandExecResponse,
        CommandExecWrite(v2::CommandExecWriteParams) = "command/exec/write"
            => v2::CommandExecWriteResponse,
        CommandExecTerminate(v2::CommandExecTerminateParams) = "command/exec/terminate"
            => v2::CommandExecTerminateResponse,
        CommandExecResize(v2::CommandExecResizeParams) = "command/exec/resize"
            => v2::CommandExecResizeResponse,
        ListMcpServerStatus(v2::ListMcpServerStatusParams) = "mcpServerStatus/list"
            => v2::ListMcpServerStatusResponse,
        McpServerOauthLogin(v2::McpServerOauthLoginParams) = "mcpServer/oauth/login"
            => v2::McpServerOauthLoginResponse,
        ExperimentalFeatureList(v2::ExperimentalFeatureListParams) = "experimentalFeature/list"
            => v2::ExperimentalFeatureListResponse,

        NewConversation(NewConversationParams) = "newConversation" => NewConversationResponse,
        GetConversationSummary(GetConversationSummaryParams) = "getConversationSummary"
            => GetConversationSummaryResponse,
        ListConversations(ListConversationsParams) = "listConversations"
            => ListConversationsResponse,
        ResumeConversation(ResumeConversationParams) = "resumeConversation"
            => ResumeConversationResponse,
        ArchiveConversation(ArchiveConversationParams) = "archiveConversation"
            => ArchiveConversationResponse,
        SendUserMessage(SendUserMessageParams) = "sendUserMessage" => SendUserMessageResponse,
        SendUserTurn(SendUserTurnParams) = "sendUserTurn" => SendUserTurnResponse,
        InterruptConversation(InterruptConversationParams) = "interruptConversation"
            => InterruptConversationResponse,
        AddConversationListener(AddConversationListenerParams) = "addConversationListener"
            => AddConversationSubscriptionResponse,
        RemoveConversationListener(RemoveConversationListenerParams)
            = "removeConversationListener" => RemoveConversationSubscriptionResponse,
        GitDiffToRemote(GitDiffToRemoteParams) = "gitDiffToRemote" => GitDiffToRemoteResponse,
        LoginApiKey(LoginApiKeyParams) = "loginApiKey" => LoginApiKeyResponse,
        LoginChatGpt = "loginChatGpt" => LoginChatGptResponse,
        CancelLoginChatGpt(CancelLoginChatGptParams) = "cancelLoginChatGpt"
            => CancelLoginChatGptResponse,
        LogoutChatGpt = "logoutChatGpt" => LogoutChatGptResponse,
        GetAuthStatus(GetAuthStatusParams) = "getAuthStatus" => GetAuthStatusResponse,
        GetUserSavedConfig = "getUserSavedConfig" => GetUserSavedConfigResponse,
        SetDefaultModel(SetDefaultModelParams) = "setDefaultModel" => SetDefaultModelResponse,
        GetUserAgent = "getUserAgent" => GetUserAgentResponse,
        UserInfo = "userInfo" => UserInfoResponse,
        FuzzyFileSearch(FuzzyFileSearchParams) = "fuzzyFileSearch" => FuzzyFileSearchResponse,
        ExecOneOffCommand(ExecOneOffCommandParams) = "execOneOffCommand"
            => ExecOneOffCommandResponse,
    }

    notices ClientNotification { Initialized = "initialized" }

    requests ServerRequest {
        CommandExecutionRequestApproval(v2_items::CommandExecutionRequestApprovalParams)
            = "item/commandExecution/requestApproval"
            => v2_items::CommandExecutionRequestApprovalResponse,
        FileChangeRequestApproval(v2_items::FileChangeRequestApprovalParams)
            = "item/fileChange/requestApproval" => v2_items::FileChangeRequestApprovalResponse,
        ApplyPatchApproval(ApplyPatchApprovalParams) = "applyPatchApproval"
            => ApplyPatchApprovalResponse,
        ExecCommandApproval(ExecCommandApprovalParams) = "execCommandApproval"
            => ExecCommandApprovalResponse,
    }

    notices ServerNotification {
        Error(v2_items::ErrorNotification) = "error",
        ThreadStarted(v2_items::ThreadStartedNotification) = "thread/started",
        ThreadStatusChanged(v2_items::ThreadStatusChangedNotification) = "thread/status/changed",
        ThreadArchived(v2_items::ThreadArchivedNotification) = "thread/archived",
        ThreadUnarchived(v2_items::ThreadUnarchivedNotification) = "thread/unarchived",
        ThreadClosed(v2_items::ThreadClosedNotification) = "thread/closed",
        ThreadNameUpdated(v2_items::ThreadNameUpdatedNotification) = "thread/name/updated",
        ThreadTokenUsageUpdated(v2_items::ThreadTokenUsageUpdatedNotification)
            = "thread/tokenUsage/updated",
        ContextCompacted(v2_items::ContextCompactedNotification) = "thread/compacted",
        TurnStarted(v2_items::TurnStartedNotification) = "turn/started",
        TurnCompleted(v2_items::TurnCompletedNotification) = "turn/completed",
        TurnDiffUpdated(v2_items::TurnDiffUpdatedNotification) = "turn/diff/updated",
        TurnPlanUpdated(v2_items::TurnPlanUpdatedNotification) = "turn/plan/updated",
        ItemStarted(v2_items::ItemStartedNotification) = "item/started",
        ItemCompleted(v2_items::ItemCompletedNotification) = "item/completed",
        AgentMessageDelta(v2_items::AgentMessageDeltaNotification) = "item/agentMessage/delta",
        PlanDelta(v2_items::PlanDeltaNotification) = "item/plan/delta",
        ReasoningSummaryPartAdded(v2_items::ReasoningSummaryPartAddedNotification)
            = "item/reasoning/summaryPartAdded",
        ReasoningSummaryTextDelta(v2_items::ReasoningSummaryTextDeltaNotification)
            = "item/reasoning/summaryTextDelta",
        ReasoningTextDelta(v2_items::ReasoningTextDeltaNotification)
            = "item/reasoning/textDelta",
        CommandExecutionOutputDelta(v2_items::CommandExecutionOutputDeltaNotification)
            = "item/commandExecution/outputDelta",
        TerminalInteraction(v2_items::TerminalInteractionNotification)
            = "item/commandExecution/terminalInteraction",
        FileChangeOutputDelta(v2_items::FileChangeOutputDeltaNotification)
            = "item/fileChange/outputDelta",
        FileChangePatchUpdated(v2_items::FileChangePatchUpdatedNotification)
            = "item/fileChange/patchUpdated",
        McpToolCallProgress(v2_items::McpToolCallProgressNotification)
            = "item/mcpToolCall/progress",
        RawResponseItemCompleted(v2_items::RawResponseItemCompletedNotification)
            = "rawResponseItem/completed",
        ServerRequestResolved(v2_items::ServerRequestResolvedNotification)
            = "serverRequest/resolved",
        Warning(v2_items::WarningNotification) = "warning",
        DeprecationNotice(v2_items::DeprecationNoticeNotification) = "deprecationNotice",
        ConfigWarning(v2_items::ConfigWarningNotification) = "configWarning",
        AccountUpdated(v2_items::AccountUpdatedNotification) = "account/updated",
        AccountLoginCompleted(v2_items::AccountLoginCompletedNotification)
            = "account/login/completed",
        AccountRateLimitsUpdated(v2_items::AccountRateLimitsUpdatedNotification)
            = "account/rateLimits/updated",
        McpServerStatusUpdated(v2_items::McpServerStatusUpdatedNotification)
            = "mcpServer/startupStatus/updated",
        McpServerOauthLoginCompleted(v2_items::McpServerOauthLoginCompletedNotification)
            = "mcpServer/oauthLogin/completed",
        CommandExecOutputDelta(v2_items::CommandExecOutputDeltaNotification)
            = "command/exec/outputDelta",
        AuthStatusChange(AuthStatusChangeNotification) = "authStatusChange",
        LoginChatGptComplete(LoginChatGptCompleteNotification) = "loginChatGptComplete",
        SessionConfigured(SessionConfiguredNotification) = "sessionConfigured",
    }
}

//! The flags that kubectl and troubleshoot share for reaching a cluster.

use std::path::PathBuf;

/// Which cluster, as whom.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct Connection {
    /// Path of the kubeconfig file [default: $KUBECONFIG, else ~/.kube/config, else the pod's own account]
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true)]
    pub(super) context: Option<String>,
    /// Cluster of the kubeconfig to use
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) cluster: Option<String>,
    /// User of the kubeconfig to use
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) user: Option<String>,
    /// Collect from this namespace only
    #[arg(long, short = 'n', global = true)]
    pub(super) namespace: Option<String>,
    /// Address of the API server
    #[arg(
        long,
        short = 's',
        value_name = "URL",
        global = true,
        hide_short_help = true
    )]
    pub(super) server: Option<String>,
    /// Bearer token for the API server
    #[arg(long, global = true, hide_short_help = true, hide_env_values = true)]
    pub(super) token: Option<String>,
    /// Impersonate this user
    #[arg(
        long = "as",
        value_name = "USER",
        global = true,
        hide_short_help = true
    )]
    pub(super) impersonate: Option<String>,
    /// Impersonate this group; repeatable
    #[arg(
        long = "as-group",
        value_name = "GROUP",
        global = true,
        hide_short_help = true
    )]
    pub(super) impersonate_groups: Vec<String>,
    /// Impersonate this UID
    #[arg(
        long = "as-uid",
        value_name = "UID",
        global = true,
        hide_short_help = true
    )]
    pub(super) impersonate_uid: Option<String>,
    /// CA certificate of the API server
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true)]
    pub(super) certificate_authority: Option<PathBuf>,
    /// Client certificate
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true)]
    pub(super) client_certificate: Option<PathBuf>,
    /// Key of the client certificate
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true)]
    pub(super) client_key: Option<PathBuf>,
    /// Do not verify the API server's certificate
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub(super) insecure_skip_tls_verify: bool,
    /// Name that the API server's certificate must bear
    #[arg(long, value_name = "NAME", global = true, hide_short_help = true)]
    pub(super) tls_server_name: Option<String>,
    /// Longest time for one request, as 10s or 1m; 0 is our default of 30s
    #[arg(long, value_name = "DURATION", global = true, hide_short_help = true)]
    pub(super) request_timeout: Option<String>,
}

//! The embedded S3: s3s over a folder, behind a wrapper that makes it as strict as S3.

mod digest;
mod locks;
mod store;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use axum::{
    Router,
    body::Body,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use s3s::{
    auth::SimpleAuth,
    config::{S3Config, StaticConfigProvider},
    service::S3ServiceBuilder,
};
use tower::ServiceExt;

use crate::key::AwsKey;

/// The folder of a bucket to which callers upload files, and how long they are kept.
const UPLOADED: &str = ".uploads";
const UPLOADED_AGE_MAX: Duration = Duration::from_hours(24);

/// Serves S3 over `folder`, with these buckets, to those who sign with `key`. A signature's age is not checked (that of a presigned
/// URL is), so that a step of the clock stops nothing.
///
/// # Errors
/// The folder cannot be used.
pub fn router(folder: &Path, buckets: &[String], key: &AwsKey) -> Result<Router> {
    for bucket in buckets {
        std::fs::create_dir_all(folder.join(bucket)).with_context(|| format!("the bucket {bucket} cannot be created"))?;
    }
    remove_uploads(folder).with_context(|| format!("unfinished uploads in {} cannot be removed", folder.display()))?;
    for bucket in buckets {
        remove_old_files(&folder.join(bucket).join(UPLOADED))
            .with_context(|| format!("old uploads of {bucket} cannot be removed"))?;
    }
    let files = s3s_fs::FileSystem::new(folder).map_err(|error| anyhow!("the folder {}: {error:?}", folder.display()))?;
    let mut builder = S3ServiceBuilder::new(store::Store::new(files, folder.to_owned()));
    builder.set_auth(SimpleAuth::from_single(key.id.as_str(), key.secret.as_str()));
    let mut config = S3Config::default();
    config.presigned_url_max_skew_time_secs = u32::MAX;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    let service = builder.build();
    Ok(Router::new().fallback(async move |request: Request| -> Response {
        match service.oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(error) => {
                tracing::warn!(error = format!("{error:?}"), "the embedded S3 could not read a request");
                StatusCode::BAD_REQUEST.into_response()
            }
        }
    }))
}

/// Removes the unfinished uploads of an earlier stack, whose metadata and parts are beside the buckets. (On AWS a lifecycle rule
/// removes them after a day.)
fn remove_uploads(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let of_upload = name.to_str().is_some_and(|name| name.starts_with('.') && name.contains(".upload"));
        if of_upload {
            std::fs::remove_file(folder.join(name))?;
        }
    }
    Ok(())
}

/// Removes what callers have uploaded, by folders of organizations, a day ago or longer. (On AWS a lifecycle rule does.)
fn remove_old_files(folder: &Path) -> std::io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for organization in std::fs::read_dir(folder)? {
        for file in std::fs::read_dir(organization?.path())? {
            let file = file?;
            if file.metadata()?.modified()?.elapsed().is_ok_and(|age| age >= UPLOADED_AGE_MAX) {
                std::fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

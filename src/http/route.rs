//! Which request gets which answer.

use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::Service;
use super::answers::Made;
use super::connections::Lasting;
use super::credentials::Password;
use super::gzip;
use super::hosts::Hosts;
use crate::alert::engine::SilenceRequest;
use crate::status::exposition::{expose, expose_openmetrics};
use crate::status::openmetrics;
use crate::status::yielding::append_json;
use crate::telemetry::labels::CodeClass;

/// What answers consist of.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A core that works for so long without waiting hangs.
const HANGS: Duration = Duration::from_secs(10);
const PAGE: &str = include_str!("page.html");
const SILENCES: &str = "/api/v1/silences";
/// Of a request that wants something changed.
const LONGEST_BODY: usize = 16 * 1024;
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// The page is all in one: nothing but its own style and script, known by their hashes, may be used, nothing sent elsewhere,
/// and nobody may frame it.
static PAGE_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let [style, script] = ["style", "script"].map(|tag| {
        let content = PAGE.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        BASE64_STANDARD.encode(digest(&SHA256, content.map_or("", |(content, _)| content).as_bytes()))
    });
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Without one the browser would allow everything.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

pub(super) enum Access {
    Look {
        hosts: Hosts,
        password: Option<Password>,
    },
    /// Change what can be changed: silences.
    Change,
}

/// Who asks.
pub(super) struct Requester<'a> {
    pub access: &'a Access,
    pub lasting: Lasting,
}

pub(super) async fn answer(service: &Service, client: &Requester<'_>, request: Request<Incoming>) -> Response<Body> {
    let head = *request.method() == Method::HEAD;
    let mut response = match (client.access.refusal(&request), request.method()) {
        (Some(refusal), _) => refusal,
        (None, &Method::GET | &Method::HEAD) => match request.uri().path() {
            "/metrics" => metrics(service, request.headers()).await,
            path => get(service, &client.lasting, path, request.headers()),
        },
        (None, _) if matches!(client.access, Access::Change) => change(service, request).await,
        (None, _) => not_allowed(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let class = match response.status().as_u16() {
        ..400 => CodeClass::Ok,
        400..500 => CodeClass::Client,
        500.. => CodeClass::Server,
    };
    service.telemetry().metrics.http_requests.count(class);
    if head {
        *response.body_mut() = Full::default().boxed_unsync();
    }
    response
}

impl Access {
    /// Why this request gets nothing, if it does not. Whether the core is alive is no secret.
    fn refusal(&self, request: &Request<Incoming>) -> Option<Response<Body>> {
        let Self::Look { hosts, password } = self else { return None };
        if let Some(host) = hosts.refused(request.headers()) {
            let message = format!("host {host:?} is not served here; a name that should be belongs into http.hosts\n");
            return Some(whole(StatusCode::MISDIRECTED_REQUEST, TEXT, message.into()));
        }
        let known = password.as_ref().is_none_or(|password| password.is_given(request.headers()));
        if known || request.uri().path() == "/livez" {
            return None;
        }
        let message = "the password of http.password_file is asked for, by basic authentication with any user name\n";
        let mut response = whole(StatusCode::UNAUTHORIZED, TEXT, message.into());
        let challenge = HeaderValue::from_static("Basic realm=\"portsyncd\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        Some(response)
    }
}

async fn metrics(service: &Service, headers: &HeaderMap) -> Response<Body> {
    // The version of the text format that Prometheus has asked for since 2014.
    const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
    let Service { reader, answers, exposed, .. } = service;
    let (kind, made) = if accepts_openmetrics(headers) {
        (openmetrics::CONTENT_TYPE, answers.openmetrics.get(|| expose_openmetrics(reader).into()))
    } else {
        (FORMAT, answers.metrics.get(|| expose(reader).into()))
    };
    made.note(exposed).await;
    large(kind, &made, gzip::is_accepted(headers))
}

fn get(service: &Service, lasting: &Lasting, path: &str, headers: &HeaderMap) -> Response<Body> {
    let Service { reader, evaluator, answers, stream, .. } = service;
    let gzip = gzip::is_accepted(headers);
    let (kind, made) = match path {
        "/api/v1/status" => (JSON, answers.status.get(|| json(&reader.status()))),
        "/api/v1/ports" => (JSON, answers.ports.get(|| json(&reader.ports()))),
        "/api/v1/alerts" => (JSON, Made::from(json(&evaluator.alerts()))),
        "/api/v1/alerts/history" => (JSON, Made::from(json(&evaluator.history()))),
        "/api/v1/rules" => (JSON, Made::from(json(&evaluator.rules()))),
        SILENCES => (JSON, Made::from(json(&evaluator.silences()))),
        "/" => return page(gzip),
        "/livez" => return livez(service),
        "/readyz" => {
            let readiness = reader.readiness();
            let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            return whole(code, JSON, json(&readiness));
        }
        "/api/v1/events" => {
            let Some(place) = lasting.stream() else {
                let message = "too many streams are open, half of http.max_connections\n";
                let mut response = whole(StatusCode::TOO_MANY_REQUESTS, TEXT, message.into());
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
                return response;
            };
            let mut response = Response::new(stream.subscribe(place));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            return response;
        }
        _ => {
            let message = "no such path; there are / /metrics /livez /readyz and, below /api/v1/, status ports alerts \
                           alerts/history rules silences events\n";
            return whole(StatusCode::NOT_FOUND, TEXT, message.into());
        }
    };
    large(kind, &made, gzip)
}

/// Whoever names the format takes it: Prometheus does, and prefers it.
fn accepts_openmetrics(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    all.any(|value| value.contains("application/openmetrics-text"))
}

fn livez(service: &Service) -> Response<Body> {
    let busy = service.telemetry().core_busy();
    if busy < HANGS {
        whole(StatusCode::OK, TEXT, "ok\n".into())
    } else {
        let message = format!("the core has been at work on one thing for {} s\n", busy.as_secs());
        whole(StatusCode::SERVICE_UNAVAILABLE, TEXT, message.into())
    }
}

/// Compressed if that is wanted and pays.
fn large(kind: &'static str, made: &Made, gzip: bool) -> Response<Body> {
    let packed = gzip && made.is_large();
    let mut response = whole(StatusCode::OK, kind, if packed { made.packed() } else { made.plain() });
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// `POST /api/v1/silences` with a [`SilenceRequest`], `DELETE /api/v1/silences/<id>`.
async fn change(service: &Service, request: Request<Incoming>) -> Response<Body> {
    let evaluator = &service.evaluator;
    let (parts, body) = request.into_parts();
    let id = parts.uri.path().strip_prefix(SILENCES).and_then(|rest| rest.strip_prefix('/'));
    match (parts.method, id) {
        (Method::POST, None) if parts.uri.path() == SILENCES => {
            let body = match Limited::new(body, LONGEST_BODY).collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => return wrong(&format!("the request cannot be read: {error}")),
            };
            match serde_json::from_slice::<SilenceRequest>(&body) {
                Ok(request) => match evaluator.silence(request) {
                    Ok(silence) => whole(StatusCode::CREATED, JSON, json(&silence)),
                    Err(error) => wrong(&error.to_string()),
                },
                Err(error) => wrong(&format!("the request is no silence: {error}")),
            }
        }
        (Method::DELETE, Some(id)) => match id.parse().ok().and_then(|id| evaluator.unsilence(id)) {
            Some(silence) => whole(StatusCode::OK, JSON, json(&silence)),
            None => whole(StatusCode::NOT_FOUND, TEXT, format!("no silence has the number {id}\n").into()),
        },
        _ => not_allowed(),
    }
}

fn wrong(message: &str) -> Response<Body> {
    whole(StatusCode::BAD_REQUEST, TEXT, format!("{message}\n").into())
}

fn page(gzip: bool) -> Response<Body> {
    static MADE: LazyLock<Made> = LazyLock::new(|| Bytes::from_static(PAGE.as_bytes()).into());
    let mut response = large("text/html; charset=utf-8", &MADE, gzip);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY.clone());
    response
}

fn not_allowed() -> Response<Body> {
    let mut response =
        whole(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD: nothing can be changed here\n".into());
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn whole(code: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

pub(super) fn json(value: &impl Serialize) -> Bytes {
    let mut text = Vec::new();
    append_json(&mut text, value);
    text.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::alert::evaluator::Evaluator;
    use crate::config::{AlertsConfig, HealthConfig};
    use crate::status::collector::Reader;
    use crate::telemetry::Telemetry;

    #[tokio::test]
    async fn a_core_that_works_on_one_thing_for_long_is_not_alive() {
        let telemetry = Arc::new(Telemetry::began_ago(HANGS * 2));
        let reader = Reader::new(Arc::clone(&telemetry), 1, HealthConfig::default());
        let evaluator = Evaluator::new(&AlertsConfig::default());
        let service = Service::new(Arc::new(reader), evaluator, Box::new(|| Box::pin(async {})));
        let code = || livez(&service).status();
        assert_eq!(code(), StatusCode::SERVICE_UNAVAILABLE, "it has never waited since the start");
        telemetry.core_works();
        assert_eq!(code(), StatusCode::OK, "it has just begun");
        telemetry.core_waits();
        assert_eq!(code(), StatusCode::OK);
    }
}

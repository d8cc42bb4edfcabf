//! Which request gets which answer.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::Service;
use crate::alert::engine::SilenceRequest;
use crate::status::exposition::expose;
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
/// The page is all in one: nothing else may be loaded, nothing sent elsewhere, and nobody may frame it.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Look,
    /// Change what can be changed: silences.
    Change,
}

pub(super) async fn answer(service: &Service, access: Access, request: Request<Incoming>) -> Response<Body> {
    let head = *request.method() == Method::HEAD;
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => get(service, request.uri().path()),
        _ if access == Access::Change => change(service, request).await,
        _ => not_allowed(),
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

fn get(service: &Service, path: &str) -> Response<Body> {
    let Service { reader, evaluator, answers, stream } = service;
    match path {
        "/" => page(),
        "/metrics" => {
            // The version of the text format that Prometheus has asked for since 2014.
            const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
            whole(StatusCode::OK, FORMAT, answers.metrics.get(|| expose(reader).into()))
        }
        "/livez" => {
            let busy = service.telemetry().core_busy();
            if busy < HANGS {
                whole(StatusCode::OK, TEXT, "ok\n".into())
            } else {
                let message = format!("the core has been at work on one thing for {} s\n", busy.as_secs());
                whole(StatusCode::SERVICE_UNAVAILABLE, TEXT, message.into())
            }
        }
        "/readyz" => {
            let readiness = reader.readiness();
            let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            whole(code, JSON, json(&readiness))
        }
        "/api/v1/status" => whole(StatusCode::OK, JSON, answers.status.get(|| json(&reader.status()))),
        "/api/v1/ports" => whole(StatusCode::OK, JSON, answers.ports.get(|| json(&reader.ports()))),
        "/api/v1/alerts" => whole(StatusCode::OK, JSON, json(&evaluator.alerts())),
        "/api/v1/alerts/history" => whole(StatusCode::OK, JSON, json(&evaluator.history())),
        "/api/v1/rules" => whole(StatusCode::OK, JSON, json(&evaluator.rules())),
        SILENCES => whole(StatusCode::OK, JSON, json(&evaluator.silences())),
        "/api/v1/events" => {
            let mut response = Response::new(stream.subscribe());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            response
        }
        _ => {
            let message = "no such path; there are / /metrics /livez /readyz and, below /api/v1/, status ports alerts \
                           alerts/history rules silences events\n";
            whole(StatusCode::NOT_FOUND, TEXT, message.into())
        }
    }
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

fn page() -> Response<Body> {
    let mut response = whole(StatusCode::OK, "text/html; charset=utf-8", Bytes::from_static(PAGE.as_bytes()));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
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
        let service = Service::new(Arc::new(reader), Evaluator::new(&AlertsConfig::default()));
        let code = || get(&service, "/livez").status();
        assert_eq!(code(), StatusCode::SERVICE_UNAVAILABLE, "it has never waited since the start");
        telemetry.core_works();
        assert_eq!(code(), StatusCode::OK, "it has just begun");
        telemetry.core_waits();
        assert_eq!(code(), StatusCode::OK);
    }
}

//! A filter of one's own: only who knows the key gets through, servers learn the caller and never see the key.
//!
//! `cargo run -p lb-core --example custom_filter -- 127.0.0.1:8080 10.0.0.1:80`, then
//! `curl -H 'x-api-key: sesame' http://127.0.0.1:8080/`

use http::{HeaderName, HeaderValue, StatusCode};
use lb_core::prelude::*;

const KEY: HeaderName = HeaderName::from_static("x-api-key");
const CALLER: HeaderName = HeaderName::from_static("x-caller");

struct RequireApiKey;

impl Filter for RequireApiKey {
    // Runs on a worker, for each request: quick look-ups only. What has to wait returns `Verdict::Wait`.
    fn request(&self, request: &mut Request<'_>) -> Verdict {
        let caller = match request.header(KEY.as_str()) {
            Some(b"sesame") => HeaderValue::from_static("ali"),
            _ => {
                return Verdict::Answer(Reply::text(
                    StatusCode::UNAUTHORIZED,
                    "x-api-key is missing or wrong\n",
                ));
            }
        };
        request.set_header(CALLER, caller);
        request.remove_header(KEY);
        Verdict::Continue
    }

    fn response(&self, response: &mut Response<'_>) {
        response.remove_header(http::header::SERVER);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("usage: custom_filter LISTEN SERVER...")?;
    let api = Backend::builder("api").servers(arguments).build()?;
    let web = Frontend::http("web").listen(listen).backend(&api).filter(RequireApiKey);
    Proxy::builder().frontend(web).build()?.run(std::future::pending()).await?;
    Ok(())
}

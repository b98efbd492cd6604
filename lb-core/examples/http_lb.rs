//! Requests take turns over some servers; what begins with `/status` the proxy answers itself.
//!
//! `cargo run -p lb-core --example http_lb -- 127.0.0.1:8080 10.0.0.1:80 10.0.0.2:80`

use lb_core::http::route::Respond;
use lb_core::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("usage: http_lb LISTEN SERVER...")?;

    // Servers without a health check count as up; one that refuses connections is left out for a while.
    let shop = Backend::builder("shop").servers(arguments).build()?;
    let web = Frontend::http("web")
        .listen(listen)
        .route(Route::prefix("/status").respond(Respond::new(200).body("well\n")))
        .route(Route::any().to(&shop));

    // Serves until the future resolves, then drains. This one never does: Ctrl-C ends the process.
    Proxy::builder().frontend(web).build()?.run(std::future::pending()).await?;
    Ok(())
}

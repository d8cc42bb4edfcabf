use super::*;

#[test]
fn the_daemon_says_where_it_is_reached() {
    for (listen, cert, url) in [
        ("127.0.0.1:9477", "", Some("http://127.0.0.1:9477/")),
        ("[::]:9477", "", Some("http://leaf1:9477/")),
        ("0.0.0.0:1", "c.pem", Some("https://leaf1:1/")),
        ("", "", None),
    ] {
        let mut config = Config::default();
        (config.http.listen, config.http.tls_cert) = (listen.to_owned(), cert.into());
        assert_eq!(daemon_url(&config, "leaf1").as_deref(), url);
        config.http.external_url = "https://leaf1.example/portsyncd/".to_owned();
        assert_eq!(daemon_url(&config, "leaf1"), Some(config.http.external_url));
    }
}

-- wrk: POSTs one no-op job of about 100 bytes, over and over.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Prefer"] = "return=minimal"
wrk.body = '{"task":"echo","args":{"user":123456,"email":"someone@example.com","template":"welcome","tries":3}}'

//! Status codes.

/// The status of a response, RFC 9110 section 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(&'static str);

impl Status {
    /// The request was carried out.
    pub const OK: Status = Status("200 OK");
    /// Carried out, and there is nothing to show.
    pub const NO_CONTENT: Status = Status("204 No Content");
    /// The request is malformed.
    pub const BAD_REQUEST: Status = Status("400 Bad Request");
    /// There is nothing under that target.
    pub const NOT_FOUND: Status = Status("404 Not Found");
    /// The target does not know that method.
    pub const METHOD_NOT_ALLOWED: Status = Status("405 Method Not Allowed");
    /// The body's length must be told beforehand.
    pub const LENGTH_REQUIRED: Status = Status("411 Length Required");
    /// The body is larger than the service takes.
    pub const CONTENT_TOO_LARGE: Status = Status("413 Content Too Large");
    /// The target is longer than the service takes.
    pub const URI_TOO_LONG: Status = Status("414 URI Too Long");
    /// The head is longer than the service takes.
    pub const HEADER_FIELDS_TOO_LARGE: Status = Status("431 Request Header Fields Too Large");
    /// The service failed.
    pub const INTERNAL_SERVER_ERROR: Status = Status("500 Internal Server Error");
    /// Something that the service needs is away.
    pub const SERVICE_UNAVAILABLE: Status = Status("503 Service Unavailable");
    /// The version of HTTP is not spoken here.
    pub const VERSION_NOT_SUPPORTED: Status = Status("505 HTTP Version Not Supported");
    /// There is no room for more.
    pub const INSUFFICIENT_STORAGE: Status = Status("507 Insufficient Storage");

    /// A status from its line, such as `"418 I'm a teapot"`.
    pub const fn new(line: &'static str) -> Status {
        Status(line)
    }

    /// Code and reason, as they stand in the status line.
    pub const fn line(self) -> &'static str {
        self.0
    }

    /// The reason alone.
    pub fn reason(self) -> &'static str {
        self.0.split_once(' ').map_or(self.0, |(_, reason)| reason)
    }
}

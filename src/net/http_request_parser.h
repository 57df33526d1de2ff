// RequestParser: one request as Beast reads it, into memory that stays from request to request.
// Private to this folder.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_server.h"

namespace bounced::net {

/// What came of a request so far. Beast's own containers make two pieces of memory of each field.
struct RequestBytes {
  struct Field {
    std::uint32_t at = 0;  ///< in `text`: the name, in lower case, and behind it the value
    std::uint32_t name_size = 0, value_size = 0;
  };
  std::string text;  ///< method, target, fields
  std::vector<Field> fields;
  std::string body;
  std::uint32_t method_size = 0, target_size = 0;
  bool expects_continue = false;
  bool old_version = false;  ///< HTTP/1.0

  void clear();
  [[nodiscard]] std::string_view method() const { return {text.data(), method_size}; }
  [[nodiscard]] std::string_view target() const { return {text.data() + method_size, target_size}; }
  /// Views are of use until more fields come.
  void list(std::vector<HttpHeader>& out) const;
};

/// Fields behind a chunked body are read and left out: nobody signs or checks them.
class RequestParser : public boost::beast::http::basic_parser<true> {
 public:
  explicit RequestParser(RequestBytes& to) : to_(to) { to_.clear(); }

 private:
  using Code = boost::system::error_code;
  using View = boost::beast::string_view;

  void on_request_impl(boost::beast::http::verb method, View method_text, View target, int version,
                       Code& ec) override;
  void on_response_impl(int, View, int, Code&) override {}
  void on_field_impl(boost::beast::http::field name, View name_text, View value, Code& ec) override;
  void on_header_impl(Code&) override { header_done_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Code&) override {}
  std::size_t on_body_impl(View bytes, Code& ec) override;
  void on_chunk_header_impl(std::uint64_t, View, Code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View bytes, Code& ec) override {
    return on_body_impl(bytes, ec);
  }
  void on_finish_impl(Code&) override {}

  RequestBytes& to_;
  bool header_done_ = false;
};

}  // namespace bounced::net

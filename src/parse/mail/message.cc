#include "parse/mail/message.h"

#include <gmime/gmime.h>

#include <array>
#include <memory>
#include <mutex>

#include "base/text.h"

namespace bounced::parse::mail {
namespace {

/// Multiparts within multiparts beyond this are left alone: nobody's reports nest so deep.
constexpr int kDepthMax = 8;

struct Unref {
  template <class T>
  void operator()(T* object) const {
    g_object_unref(object);
  }
};
template <class T>
using Owned = std::unique_ptr<T, Unref>;

struct Free {
  void operator()(char* text) const { g_free(text); }
};

void start_gmime() {
  static std::once_flag once;
  std::call_once(once, [] { g_mime_init(); });
}

/// Of GMime's defaults only the charsets differ: bytes that claim nothing are taken as they are.
GMimeParserOptions* parser_options() {
  static GMimeParserOptions* const options = [] {
    GMimeParserOptions* made = g_mime_parser_options_new();
    g_mime_parser_options_set_allow_addresses_without_domain(made, TRUE);
    return made;
  }();
  return options;
}

std::string type_of(GMimeObject* object) {
  GMimeContentType* const type = g_mime_object_get_content_type(object);
  if (type == nullptr) return "text/plain";
  const char* const media = g_mime_content_type_get_media_type(type);
  const char* const sub = g_mime_content_type_get_media_subtype(type);
  return ascii_lower(std::string(media == nullptr ? "" : media) + "/" +
                     (sub == nullptr ? "" : sub));
}

void copy_header(GMimeObject* object, Fields& out) {
  GMimeHeaderList* const list = g_mime_object_get_header_list(object);
  const int count = g_mime_header_list_get_count(list);
  for (int i = 0; i < count; ++i) {
    GMimeHeader* const header = g_mime_header_list_get_header_at(list, i);
    const char* const name = g_mime_header_get_name(header);
    const char* const raw = g_mime_header_get_raw_value(header);
    if (name == nullptr || raw == nullptr) continue;
    const std::string_view value(raw);
    if (value.find("=?") == std::string_view::npos) {
      out.add(name, value);
      continue;
    }
    const std::unique_ptr<char, Free> decoded(g_mime_utils_header_decode_text(nullptr, raw));
    out.add(name, decoded == nullptr ? value : std::string_view(decoded.get()));
  }
}

/// The decoded bytes of a leaf.
std::string content_of(GMimePart* part) {
  GMimeDataWrapper* const content = g_mime_part_get_content(part);
  if (content == nullptr) return {};
  const Owned<GMimeStream> memory(g_mime_stream_mem_new());
  g_mime_data_wrapper_write_to_stream(content, memory.get());
  const GByteArray* const bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(memory.get()));
  if (bytes == nullptr) return {};
  return {reinterpret_cast<const char*>(bytes->data),
          std::min<std::size_t>(bytes->len, kPartBytesMax)};
}

bool is_utf8_or_ascii(const char* charset) {
  if (charset == nullptr) return true;
  for (const std::string_view known : {"utf-8", "us-ascii", "ascii", "utf8"}) {
    if (iequals(charset, known)) return true;
  }
  return false;
}

/// A text in UTF-8; as it is where its charset is not known, or not told.
std::string text_of(GMimeObject* object) {
  std::string raw = content_of(GMIME_PART(object));
  if (!GMIME_IS_TEXT_PART(object)) return raw;
  const char* const charset = g_mime_text_part_get_charset(GMIME_TEXT_PART(object));
  if (is_utf8_or_ascii(charset)) return raw;
  const std::unique_ptr<char, Free> text(
      g_convert_with_fallback(raw.data(), static_cast<gssize>(raw.size()), "UTF-8",
                              g_mime_charset_iconv_name(charset), "?", nullptr, nullptr, nullptr));
  return text == nullptr ? raw : std::string(text.get()).substr(0, kPartBytesMax);
}

void walk(GMimeObject* object, int depth, Message& out);

void take_leaf(GMimeObject* object, Message& out) {
  Part part;
  part.type = type_of(object);
  const bool texts = part.type.rfind("text/", 0) == 0 || part.type.rfind("message/", 0) == 0;
  if (!texts) return;  // attachments say nothing
  part.text = text_of(object);
  const bool header_part = part.type == "text/rfc822-headers" ||
                           part.type == "message/rfc822-headers" ||
                           part.type == "message/global-headers" || part.type == "message/rfc822" ||
                           part.type == "message/global";
  if (header_part) {
    // One that was not parsed as a message: encoded, or cut.
    if (out.original.empty()) read_fields(part.text, out.original);
    out.has_original = out.has_original || !out.original.empty();
    return;
  }
  out.parts.push_back(std::move(part));
}

void walk_multipart(GMimeMultipart* multipart, int depth, Message& out) {
  const int count = g_mime_multipart_get_count(multipart);
  for (int i = 0; i < count && out.parts.size() < kPartsMax; ++i) {
    walk(g_mime_multipart_get_part(multipart, i), depth + 1, out);
  }
}

void walk(GMimeObject* object, int depth, Message& out) {
  if (object == nullptr || depth > kDepthMax || out.parts.size() >= kPartsMax) return;
  if (GMIME_IS_MULTIPART(object)) return walk_multipart(GMIME_MULTIPART(object), depth, out);
  if (GMIME_IS_MESSAGE_PART(object)) {
    GMimeMessage* const inner = g_mime_message_part_get_message(GMIME_MESSAGE_PART(object));
    if (inner == nullptr) return;
    if (type_of(object) == "message/delivery-status") return;
    if (out.original.empty()) copy_header(GMIME_OBJECT(inner), out.original);
    out.has_original = true;
    return;
  }
  if (GMIME_IS_PART(object)) take_leaf(object, out);
}

/// A header that GMime would read deep into the stack: boundaries by the hundred.
bool too_deep(std::string_view bytes) {
  std::size_t multiparts = 0;
  for (std::size_t at = bytes.find("ultipart/"); at != std::string_view::npos;
       at = bytes.find("ultipart/", at + 9)) {
    if (++multiparts > 64) return true;
  }
  return false;
}

/// The same mail without MIME, where its structure is an attack or a wreck.
void read_plain(std::string_view bytes, Message& out) {
  const std::size_t body = read_fields(bytes, out.header);
  out.type = "text/plain";
  out.parts.push_back({"text/plain", std::string(bytes.substr(body, kPartBytesMax))});
}

}  // namespace

const Part* Message::part(std::string_view mime_type) const {
  for (const Part& one : parts) {
    if (one.type == mime_type) return &one;
  }
  return nullptr;
}

bool read_message(std::string_view bytes, Message& out) {
  bytes = bytes.substr(0, kMailBytesMax);
  if (too_deep(bytes)) {
    read_plain(bytes, out);
    return !out.header.empty();
  }
  start_gmime();
  const Owned<GMimeStream> stream(g_mime_stream_mem_new_with_buffer(bytes.data(), bytes.size()));
  const Owned<GMimeParser> parser(g_mime_parser_new_with_stream(stream.get()));
  const Owned<GMimeMessage> message(
      g_mime_parser_construct_message(parser.get(), parser_options()));
  if (message == nullptr) {
    read_plain(bytes, out);
    return !out.header.empty();
  }
  copy_header(GMIME_OBJECT(message.get()), out.header);
  GMimeObject* const root = g_mime_message_get_mime_part(message.get());
  if (root != nullptr) {
    out.type = type_of(root);
    const char* const report = g_mime_object_get_content_type_parameter(root, "report-type");
    if (report != nullptr) out.report_type = ascii_lower(report);
    walk(root, 0, out);
  }
  return !out.header.empty();
}

std::int64_t read_date(std::string_view value) {
  if (value.empty() || value.size() > 128) return 0;
  start_gmime();
  GDateTime* const date = g_mime_utils_header_decode_date(std::string(value).c_str());
  if (date == nullptr) return 0;
  const gint64 seconds = g_date_time_to_unix(date);
  g_date_time_unref(date);
  return seconds <= 0 ? 0 : static_cast<std::int64_t>(seconds) * 1'000'000;
}

// --- HTML ---------------------------------------------------------------------------------------

namespace {

struct Entity {
  std::string_view name, text;
};
constexpr std::array<Entity, 12> kEntities = {{{"nbsp", " "},
                                               {"lt", "<"},
                                               {"gt", ">"},
                                               {"amp", "&"},
                                               {"quot", "\""},
                                               {"apos", "'"},
                                               {"#39", "'"},
                                               {"#43", "+"},
                                               {"#64", "@"},
                                               {"#34", "\""},
                                               {"#160", " "},
                                               {"#xa0", " "}}};

/// Decodes the entity at `at` ('&'); returns the bytes taken.
std::size_t take_entity(std::string_view html, std::size_t at, std::string& out) {
  const std::size_t end = html.find(';', at);
  if (end != std::string_view::npos && end - at <= 8) {
    const std::string_view name = html.substr(at + 1, end - at - 1);
    for (const Entity& entity : kEntities) {
      if (!iequals(entity.name, name)) continue;
      out += entity.text;
      return end + 1 - at;
    }
  }
  out += '&';
  return 1;
}

bool breaks_line(std::string_view tag) {
  for (const std::string_view name : {"br", "p", "div", "tr", "li", "h1", "h2", "h3", "table",
                                      "pre", "td", "ul", "hr", "blockquote"}) {
    if (iequals(tag, name)) return true;
  }
  return false;
}

/// Skips the tag (or comment, or script) at `at` ('<'); returns the bytes taken.
std::size_t take_tag(std::string_view html, std::size_t at, std::string& out) {
  if (html.substr(at, 4) == "<!--") {
    const std::size_t end = html.find("-->", at);
    return end == std::string_view::npos ? html.size() - at : end + 3 - at;
  }
  std::size_t name = at + 1;
  if (name < html.size() && html[name] == '/') ++name;
  std::size_t name_end = name;
  while (name_end < html.size() && name_end - name < 12 &&
         ((ascii_lower(html[name_end]) >= 'a' && ascii_lower(html[name_end]) <= 'z') ||
          (html[name_end] >= '0' && html[name_end] <= '9'))) {
    ++name_end;
  }
  const std::string_view tag = html.substr(name, name_end - name);
  const bool literal = tag.empty() || (name_end < html.size() && html[name_end] == '@');
  if (literal && html.substr(at, 2) != "<!" && html.substr(at, 2) != "<?") {
    out += '<';
    return 1;
  }
  std::size_t end = html.find('>', at);
  if (end == std::string_view::npos) end = html.size() - 1;
  if (breaks_line(tag)) out += '\n';
  if (iequals(tag, "style") || iequals(tag, "script")) {
    const std::size_t close = html.find("</", end);
    end = close == std::string_view::npos ? html.size() - 1 : close - 1;
  }
  return end + 1 - at;
}

}  // namespace

std::string text_of_html(std::string_view html) {
  html = html.substr(0, kPartBytesMax);
  std::string out;
  out.reserve(html.size() / 2);
  for (std::size_t at = 0; at < html.size();) {
    if (html[at] == '<') {
      at += take_tag(html, at, out);
    } else if (html[at] == '&') {
      at += take_entity(html, at, out);
    } else {
      out += html[at++];
    }
  }
  return out;
}

}  // namespace bounced::parse::mail

#include "parse/providers/json.h"

#include <emmintrin.h>
#include <simdjson.h>

#include <bit>
#include <charconv>
#include <deque>

#include "base/text.h"
#include "bounced/limits.h"

namespace bounced::parse::providers {
namespace {

namespace od = simdjson::ondemand;
using simdjson::error_code;
using simdjson::SUCCESS;

/// Bodies over this size give their buffers back afterwards.
constexpr std::size_t kKeptBytes = std::size_t{1} << 20;

/// Which of 64 bytes are what; bit 0 is the first.
struct Marks {
  std::uint64_t quotes = 0, backslashes = 0, opens = 0, closes = 0;
};

Marks marks_of(const char* p) {
  Marks marks;
  for (unsigned part = 0; part < 4; ++part) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * part));
    const __m128i low = _mm_or_si128(bytes, _mm_set1_epi8(0x20));  // [ ] like { }
    const auto mask = [&](__m128i in, char c) {
      const auto bits = _mm_movemask_epi8(_mm_cmpeq_epi8(in, _mm_set1_epi8(c)));
      return static_cast<std::uint64_t>(static_cast<unsigned>(bits)) << (16 * part);
    };
    marks.quotes |= mask(bytes, '"');
    marks.backslashes |= mask(bytes, '\\');
    marks.opens |= mask(low, '{');
    marks.closes |= mask(low, '}');
  }
  return marks;
}

/// Bytes behind a backslash that is none itself. `carry`: the block before ended with such a one.
std::uint64_t escaped_of(std::uint64_t backslashes, std::uint64_t& carry) {
  std::uint64_t escaped = carry;
  backslashes &= ~carry;
  carry = backslashes >> 63;
  while (backslashes != 0) {
    const int at = std::countr_zero(backslashes);
    if (at == 63) break;
    escaped |= std::uint64_t{2} << at;
    backslashes &= ~(std::uint64_t{3} << at);
    carry = backslashes >> 63;
  }
  return escaped;
}

/// Whether brackets nest deeper than kJsonDepthMax, without regard to their kinds. 64 bytes at a
/// time: strings by a running parity of quotes, and most blocks have no bracket outside of them.
bool too_deep(std::string_view text) {
  static_assert(limits::kBlockPadding >= 63);
  int depth = 0;
  std::uint64_t carry = 0, inside = 0;
  for (std::size_t from = 0; from < text.size(); from += 64) {
    Marks marks = marks_of(text.data() + from);
    if ((marks.backslashes | carry) != 0) marks.quotes &= ~escaped_of(marks.backslashes, carry);
    std::uint64_t strings = marks.quotes;
    for (const unsigned shift : {1u, 2u, 4u, 8u, 16u, 32u}) strings ^= strings << shift;
    strings ^= inside;
    inside = std::uint64_t{0} - (strings >> 63);
    std::uint64_t brackets = (marks.opens | marks.closes) & ~strings;
    const std::size_t left = text.size() - from;
    if (left < 64) brackets &= (std::uint64_t{1} << left) - 1;
    for (; brackets != 0; brackets &= brackets - 1) {
      const bool open = (marks.opens >> std::countr_zero(brackets) & 1) != 0;
      depth += open ? 1 : -1;
      if (depth > kJsonDepthMax) return true;
    }
  }
  return false;
}

/// Behind the last byte of the string that begins at p, or at its first backslash: a document that
/// simdjson has begun to read has all its quotes.
const char* plain_end(const char* p) {
  for (;; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                       _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(marks));
    if (mask != 0) return p + std::countr_zero(mask);
  }
}

std::string_view without_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  return text.substr(0, kMark.size()) == kMark ? text.substr(kMark.size()) : text;
}

bool blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/// Length of the valid UTF-8 sequence at p; 0 = none.
std::size_t sequence(const unsigned char* p, std::size_t left) {
  if (p[0] < 0x80) return 1;
  const std::size_t size = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
  if (p[0] < 0xC2 || p[0] > 0xF4 || size > left) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((p[i] & 0xC0) != 0x80) return 0;
  }
  const bool out_of_range = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
                            (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F);
  return out_of_range ? 0 : size;
}

void repair_utf8(std::string_view text, std::string& out) {
  out.clear();
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t size = sequence(p + i, text.size() - i);
    if (size == 0) {
      out += "\xEF\xBF\xBD";
      ++i;
    } else {
      out.append(text, i, size);
      i += size;
    }
  }
}

/// A field for more names than one: "ses:*" for all that begin so, "" for any. They stand last.
bool is_pattern(std::string_view name) {
  return name.empty() || name.back() == '*';
}

bool fits(std::string_view pattern, std::string_view name) {
  if (!is_pattern(pattern)) return false;
  if (!pattern.empty()) pattern.remove_suffix(1);
  return name.substr(0, pattern.size()) == pattern;
}

/// Where names stand in a table of fields, so that a name is compared with one or two of them.
class Names {
 public:
  explicit Names(std::span<const Field> fields) : fields_(fields), next_(fields.size(), kNone) {
    heads_.fill(kNone);
    for (std::size_t i = fields.size(); i-- > 0;) {
      if (fields[i].name.empty()) continue;
      std::uint8_t& head = heads_[slot(fields[i].name)];
      next_[i] = head;
      head = static_cast<std::uint8_t>(i);
    }
  }
  [[nodiscard]] bool of(std::span<const Field> fields) const {
    return fields_.data() == fields.data() && fields_.size() == fields.size();
  }
  [[nodiscard]] const Field* find(std::string_view name) const {
    if (name.empty()) return find_pattern(name);
    for (std::uint8_t i = heads_[slot(name)]; i != kNone; i = next_[i]) {
      if (fields_[i].name == name) return &fields_[i];
    }
    return find_pattern(name);
  }

 private:
  static constexpr std::uint8_t kNone = 0xff;
  static constexpr std::size_t kSlots = 64;
  static std::size_t slot(std::string_view name) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(name[i]); };
    return (name.size() * 5 + at(0) + at(name.size() / 2) * 3u + at(name.size() - 1) * 7u) % kSlots;
  }
  [[nodiscard]] const Field* find_pattern(std::string_view name) const {
    if (fields_.empty() || !is_pattern(fields_.back().name)) return nullptr;
    for (const Field& field : fields_) {
      if (fits(field.name, name)) return &field;
    }
    return nullptr;
  }

  std::span<const Field> fields_;
  std::array<std::uint8_t, kSlots> heads_{};
  std::vector<std::uint8_t> next_;
};

unsigned hex4(const char* p) {
  unsigned value = 0;
  const auto read = std::from_chars(p, p + 4, value, 16);
  return read.ptr == p + 4 ? value : 0xFFFD;
}

void append_utf8(std::string& out, unsigned code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 63));
  } else {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 63));
    out += static_cast<char>(0x80 | (code & 63));
  }
}

/// A text whose escapes are wrong (half a surrogate pair: a provider cut it): what cannot be read
/// becomes U+FFFD.
std::string unescape(std::string_view text) {
  constexpr std::string_view kNames = "bfnrt", kBytes = "\b\f\n\r\t";
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    if (c == 'u' && i + 4 < text.size()) {
      const unsigned code = hex4(text.data() + i + 1);
      append_utf8(out, code >= 0xD800 && code < 0xE000 ? 0xFFFD : code);
      i += 4;
    } else {
      const auto at = kNames.find(c);
      out += at == std::string_view::npos ? c : kBytes[at];
    }
  }
  return out;
}

/// A scalar as text; empty = null, or no scalar. What had to be repaired is kept in `repaired`.
std::string_view scalar(od::value& value, od::json_type type, std::deque<std::string>& repaired) {
  std::string_view token = value.raw_json_token();
  while (!token.empty() && blank(token.back())) token.remove_suffix(1);
  if (type == od::json_type::null) return {};
  if (type != od::json_type::string) return token;
  // Without a backslash it stands in the document as it is.
  if (token.size() >= 2 && plain_end(token.data() + 1) + 1 == token.data() + token.size() &&
      token.back() == '"') {
    return token.substr(1, token.size() - 2);
  }
  std::string_view text;
  if (value.get_string().get(text) == SUCCESS) return text;
  const auto last = token.rfind('"');
  if (last == std::string_view::npos || last == 0) return {};
  return repaired.emplace_back(unescape(token.substr(1, last - 1)));
}

}  // namespace

struct JsonReader::Impl {
  od::parser parser;
  Record record;
  std::string copy;
  std::deque<std::string> repaired;
  std::deque<Names> names;  ///< of the tables seen so far, which are constants: there are few
  const Shape* shape = nullptr;
  Visit visit = nullptr;
  void* self = nullptr;
  Counts* counts = nullptr;

  static void set(std::span<std::string_view> slots, std::uint8_t slot, std::string_view text) {
    if (slot < slots.size() && slots[slot].empty()) slots[slot] = text;
  }
  const Names& names_of(std::span<const Field> fields);
  error_code value_of(od::value& value, const Field& field, std::span<std::string_view> slots);
  error_code list_of(od::value& value, const Field& field);
  error_code element_of(od::value& value, od::json_type type, const Field& field);
  error_code object_of(od::object& object, std::span<const Field> fields,
                       std::span<std::string_view> slots);
  error_code item(od::object& object);
  error_code find_items(od::value& value, std::size_t step);
  error_code go_through(od::array& array, std::size_t step);
  error_code go_into(od::object& object, std::size_t step);
  error_code document(std::string_view text, std::size_t capacity);
  void shrink(std::size_t size);
};

JsonReader::JsonReader() : impl_(std::make_unique<Impl>()) {}
JsonReader::~JsonReader() = default;

error_code JsonReader::Impl::element_of(od::value& value, od::json_type type, const Field& field) {
  Part part;
  part.list = field.list;
  if (type == od::json_type::object) {
    od::object object;
    if (const auto error = value.get_object().get(object)) return error;
    if (const auto error = object_of(object, field.inner, part.at)) return error;
  } else if (type == od::json_type::array) {
    return SUCCESS;
  } else {
    part.at[0] = scalar(value, type, repaired);
  }
  record.parts.push_back(part);
  return SUCCESS;
}

error_code JsonReader::Impl::list_of(od::value& value, const Field& field) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return SUCCESS;
  if (type != od::json_type::array) return element_of(value, type, field);
  od::array array;
  if (const auto error = value.get_array().get(array)) return error;
  for (auto next : array) {
    od::value element;
    if (const auto error = next.get(element)) return error;
    if (element.type().get(type) != SUCCESS) continue;
    if (const auto error = element_of(element, type, field)) return error;
  }
  return SUCCESS;
}

error_code JsonReader::Impl::value_of(od::value& value, const Field& field,
                                      std::span<std::string_view> slots) {
  if (field.list != Field::kNone) return list_of(value, field);
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) return SUCCESS;
  if (type == od::json_type::object) {
    if (field.inner.empty()) return SUCCESS;
    od::object object;
    if (const auto error = value.get_object().get(object)) return error;
    return object_of(object, field.inner, slots);
  }
  if (type != od::json_type::array) {
    if (field.slot != Field::kNone) set(slots, field.slot, scalar(value, type, repaired));
    return SUCCESS;
  }
  od::array array;
  if (const auto error = value.get_array().get(array)) return error;
  for (auto next : array) {
    od::value element;
    if (const auto error = next.get(element)) return error;
    if (element.type().get(type) != SUCCESS || type == od::json_type::array) continue;
    if (type == od::json_type::object) {
      od::object object;
      if (const auto error = element.get_object().get(object)) return error;
      if (const auto error = object_of(object, field.inner, slots)) return error;
    } else if (field.slot != Field::kNone) {
      set(slots, field.slot, scalar(element, type, repaired));
    }
  }
  return SUCCESS;
}

const Names& JsonReader::Impl::names_of(std::span<const Field> fields) {
  for (const Names& known : names) {
    if (known.of(fields)) return known;
  }
  return names.emplace_back(fields);
}

error_code JsonReader::Impl::object_of(od::object& object, std::span<const Field> fields,
                                       std::span<std::string_view> slots) {
  const Names& known = names_of(fields);
  for (auto next : object) {
    od::field field;
    if (const auto error = std::move(next).get(field)) return error;
    const char* const from = field.key().raw();
    const char* const end = plain_end(from);
    std::string_view name(from, static_cast<std::size_t>(end - from));
    if (*end == '\\') {
      if (const auto error = field.unescaped_key().get(name)) return error;
    }
    const Field* found = known.find(name);
    if (found == nullptr) continue;
    if (const auto error = value_of(field.value(), *found, slots)) return error;
  }
  return SUCCESS;
}

error_code JsonReader::Impl::item(od::object& object) {
  record.at.fill({});
  record.parts.clear();
  if (const auto error = object_of(object, shape->fields, record.at)) return error;
  ++counts->items;
  visit(self, record);
  return SUCCESS;
}

error_code JsonReader::Impl::go_through(od::array& array, std::size_t step) {
  for (auto next : array) {
    od::value element;
    if (const auto error = next.get(element)) return error;
    if (const auto error = find_items(element, step)) return error;
  }
  return SUCCESS;
}

error_code JsonReader::Impl::go_into(od::object& object, std::size_t step) {
  for (std::size_t at = step; at < shape->path.size(); ++at) {
    od::value inner;
    if (object.find_field_unordered(shape->path[at]).get(inner) != SUCCESS) break;
    od::json_type type{};
    if (inner.type().get(type) == SUCCESS &&
        (type == od::json_type::array || type == od::json_type::object)) {
      return find_items(inner, at + 1);
    }
    break;
  }
  if (const auto error = object.reset().error()) return error;
  return item(object);
}

error_code JsonReader::Impl::find_items(od::value& value, std::size_t step) {
  od::json_type type{};
  if (value.type().get(type) != SUCCESS) {
    ++counts->others;
    return SUCCESS;
  }
  if (type == od::json_type::array) {
    od::array array;
    if (const auto error = value.get_array().get(array)) return error;
    return go_through(array, step);
  }
  if (type != od::json_type::object) {
    counts->others += type != od::json_type::null;
    return SUCCESS;
  }
  od::object object;
  if (const auto error = value.get_object().get(object)) return error;
  return step < shape->path.size() ? go_into(object, step) : item(object);
}

error_code JsonReader::Impl::document(std::string_view text, std::size_t capacity) {
  od::document document;
  if (const auto error = parser.iterate(text.data(), text.size(), capacity).get(document)) {
    return error;
  }
  od::json_type type{};
  if (const auto error = document.type().get(type)) return error;
  if (type == od::json_type::array) {
    od::array array;
    if (const auto error = document.get_array().get(array)) return error;
    return go_through(array, 0);
  }
  od::object object;
  if (const auto error = document.get_object().get(object)) return error;
  return shape->path.empty() ? item(object) : go_into(object, 0);
}

void JsonReader::Impl::shrink(std::size_t size) {
  if (size <= kKeptBytes) return;
  parser = od::parser();
  copy = std::string();
  record.parts = std::vector<Part>();
}

JsonReader::Outcome JsonReader::read(std::string_view text, const Shape& shape, Visit visit,
                                     void* self, Counts& counts) {
  text = without_mark(text);
  if (too_deep(text)) return Outcome::too_deep;
  impl_->shape = &shape;
  impl_->visit = visit;
  impl_->self = self;
  impl_->counts = &counts;
  impl_->repaired.clear();
  error_code error = impl_->document(text, text.size() + limits::kBlockPadding);
  if (error == simdjson::UTF8_ERROR) {  // found before anything was visited
    std::string clean;
    clean.reserve(text.size() + text.size() / 8 + simdjson::SIMDJSON_PADDING);
    repair_utf8(text, clean);
    clean.reserve(clean.size() + simdjson::SIMDJSON_PADDING);
    // Views into it must outlive this call no more than those into `text`.
    impl_->copy.swap(clean);
    error = impl_->document(impl_->copy, impl_->copy.capacity());
  }
  impl_->shrink(text.size());
  return error == SUCCESS ? Outcome::read : Outcome::no_json;
}

JsonReader::Outcome JsonReader::read_copy(std::string_view text, const Shape& shape, Visit visit,
                                          void* self, Counts& counts) {
  std::string padded;
  padded.reserve(text.size() + limits::kBlockPadding);
  padded.assign(text);
  padded.append(limits::kBlockPadding, '\0');
  return read({padded.data(), text.size()}, shape, visit, self, counts);
}

bool is_json_lines(std::string_view text) {
  text = trim(without_mark(text));
  const auto newline = text.find('\n');
  if (newline == std::string_view::npos || text.front() != '{') return false;
  // A first line that is no object by itself: one document over several lines.
  return trim(text.substr(0, newline)).back() == '}';
}

}  // namespace bounced::parse::providers

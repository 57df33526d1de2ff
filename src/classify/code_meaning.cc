#include "classify/code_meaning.h"

#include <array>
#include <string_view>

#include "classify/chars.h"

namespace bounced::classify {
namespace {

using std::string;
using std::string_view;

struct ReplyMeaning {
  std::uint16_t code;
  string_view text;
};
constexpr std::array kReplies = {
    ReplyMeaning{211, "system status or help"},
    ReplyMeaning{214, "help text"},
    ReplyMeaning{220, "the server is ready"},
    ReplyMeaning{221, "the server closes the connection"},
    ReplyMeaning{235, "authentication succeeded"},
    ReplyMeaning{250, "done"},
    ReplyMeaning{251, "the user is elsewhere, the server forwards"},
    ReplyMeaning{252, "the user is not verified, but the mail is taken"},
    ReplyMeaning{334, "the server goes on with the authentication"},
    ReplyMeaning{354, "the server waits for the message"},
    ReplyMeaning{421, "the service is not available now, the server closes the connection"},
    ReplyMeaning{422, "the mailbox is over its limit (not in the standard)"},
    ReplyMeaning{431, "no memory or disk space left (not in the standard)"},
    ReplyMeaning{432, "the password must be changed first"},
    ReplyMeaning{441, "the recipient's server does not answer (not in the standard)"},
    ReplyMeaning{442, "the connection was lost on the way (not in the standard)"},
    ReplyMeaning{446, "too many hops (not in the standard)"},
    ReplyMeaning{447, "the message timed out (not in the standard)"},
    ReplyMeaning{450, "the mailbox is not available now: busy, or refused for the moment"},
    ReplyMeaning{451, "the server stopped the command over a local error"},
    ReplyMeaning{452, "the server has not enough storage, or enough recipients for now"},
    ReplyMeaning{453, "no mail waits (ETRN)"},
    ReplyMeaning{454, "authentication or TLS does not work now"},
    ReplyMeaning{455, "the server cannot honour the parameters now"},
    ReplyMeaning{458, "the queue cannot be started for that node"},
    ReplyMeaning{459, "that node is not allowed (ETRN)"},
    ReplyMeaning{500, "syntax error, the command is not recognised"},
    ReplyMeaning{501, "syntax error in the arguments, an address often"},
    ReplyMeaning{502, "the command is not implemented"},
    ReplyMeaning{503, "the commands came in the wrong order"},
    ReplyMeaning{504, "the parameter is not implemented"},
    ReplyMeaning{510, "bad address (not in the standard)"},
    ReplyMeaning{511, "bad address (not in the standard)"},
    ReplyMeaning{512, "the recipient's domain was not found (not in the standard)"},
    ReplyMeaning{513, "bad address (not in the standard)"},
    ReplyMeaning{521, "the host takes no mail"},
    ReplyMeaning{523, "the message is longer than allowed (not in the standard)"},
    ReplyMeaning{525, "the user's account is disabled"},
    ReplyMeaning{530, "authentication is required, or STARTTLS first"},
    ReplyMeaning{534, "the authentication mechanism is too weak"},
    ReplyMeaning{535, "the credentials are not valid"},
    ReplyMeaning{538, "the authentication mechanism needs encryption"},
    ReplyMeaning{541, "refused by a filter (not in the standard)"},
    ReplyMeaning{550, "the mailbox is not available: not found, no access, or refused by policy"},
    ReplyMeaning{551, "the user is not local, the server does not forward"},
    ReplyMeaning{552, "more storage than the mailbox or the message may use"},
    ReplyMeaning{553, "the mailbox name is not allowed"},
    ReplyMeaning{554, "the transaction failed, or no service for this client"},
    ReplyMeaning{555, "the parameters of MAIL or RCPT are not known"},
    ReplyMeaning{556, "the domain takes no mail"},
    ReplyMeaning{571, "refused (not in the standard)"},
};

struct EnhancedMeaning {
  std::uint16_t subject, detail;
  string_view text;
};
constexpr std::array kEnhanced = {
    EnhancedMeaning{0, 0, "no more is said"},
    EnhancedMeaning{1, 0, "something about an address"},
    EnhancedMeaning{1, 1, "there is no such mailbox"},
    EnhancedMeaning{1, 2, "the recipient's domain does not exist or takes no mail"},
    EnhancedMeaning{1, 3, "the recipient's address is not well formed"},
    EnhancedMeaning{1, 4, "the recipient's address fits several mailboxes"},
    EnhancedMeaning{1, 5, "the recipient's address is valid"},
    EnhancedMeaning{1, 6, "the mailbox has moved and nothing is forwarded"},
    EnhancedMeaning{1, 7, "the sender's address is not well formed"},
    EnhancedMeaning{1, 8, "the sender's domain does not exist or takes no mail"},
    EnhancedMeaning{1, 9, "relayed to a mailer that does not speak the protocol"},
    EnhancedMeaning{1, 10, "the recipient's domain has a null MX"},
    EnhancedMeaning{2, 0, "something about the mailbox"},
    EnhancedMeaning{2, 1, "the mailbox is disabled and takes no messages"},
    EnhancedMeaning{2, 2, "the mailbox is full"},
    EnhancedMeaning{2, 3, "the message is longer than this mailbox may take"},
    EnhancedMeaning{2, 4, "the mailing list could not be expanded"},
    EnhancedMeaning{3, 0, "something about the receiving system"},
    EnhancedMeaning{3, 1, "the receiving system is full"},
    EnhancedMeaning{3, 2, "the system takes no messages from the network now"},
    EnhancedMeaning{3, 3, "the system lacks a feature that is needed"},
    EnhancedMeaning{3, 4, "the message is too big for the system"},
    EnhancedMeaning{3, 5, "the system is configured wrongly"},
    EnhancedMeaning{3, 6, "the priority that was asked for was changed"},
    EnhancedMeaning{4, 0, "something about the network or routing"},
    EnhancedMeaning{4, 1, "the host does not answer"},
    EnhancedMeaning{4, 2, "the connection was bad or broke"},
    EnhancedMeaning{4, 3, "a directory server (DNS often) failed"},
    EnhancedMeaning{4, 4, "the next hop cannot be determined"},
    EnhancedMeaning{4, 5, "the mail system is congested"},
    EnhancedMeaning{4, 6, "the message goes round in a loop"},
    EnhancedMeaning{4, 7, "the message was too long on its way and expired"},
    EnhancedMeaning{5, 0, "something about the protocol"},
    EnhancedMeaning{5, 1, "the command is not valid here"},
    EnhancedMeaning{5, 2, "syntax error"},
    EnhancedMeaning{5, 3, "too many recipients"},
    EnhancedMeaning{5, 4, "the arguments of the command are not valid"},
    EnhancedMeaning{5, 5, "the versions of the protocol do not fit"},
    EnhancedMeaning{5, 6, "a line of the authentication exchange is too long"},
    EnhancedMeaning{6, 0, "something about the content"},
    EnhancedMeaning{6, 1, "the kind of content is not supported"},
    EnhancedMeaning{6, 2, "a conversion is needed and was forbidden"},
    EnhancedMeaning{6, 3, "a conversion is needed and not supported"},
    EnhancedMeaning{6, 4, "the content was converted with loss"},
    EnhancedMeaning{6, 5, "a conversion failed"},
    EnhancedMeaning{6, 6, "the content of the message is not available"},
    EnhancedMeaning{6, 7, "addresses that are not ASCII are not permitted here"},
    EnhancedMeaning{6, 8, "a UTF-8 reply is needed and not permitted"},
    EnhancedMeaning{6, 9, "a message with UTF-8 headers cannot go to one of the recipients"},
    EnhancedMeaning{6, 10, "a UTF-8 reply is needed and not permitted"},
    EnhancedMeaning{7, 0, "something about security or policy"},
    EnhancedMeaning{7, 1, "the delivery is not authorised, the message is refused"},
    EnhancedMeaning{7, 2, "the sender may not write to this mailing list"},
    EnhancedMeaning{7, 3, "a secure message cannot be converted"},
    EnhancedMeaning{7, 4, "a security feature is not supported"},
    EnhancedMeaning{7, 5, "cryptography failed"},
    EnhancedMeaning{7, 6, "the cryptographic algorithm is not supported"},
    EnhancedMeaning{7, 7, "the message was altered: its integrity check failed"},
    EnhancedMeaning{7, 8, "the credentials are not valid"},
    EnhancedMeaning{7, 9, "the authentication mechanism is too weak"},
    EnhancedMeaning{7, 10, "encryption is needed"},
    EnhancedMeaning{7, 11, "the authentication mechanism needs encryption"},
    EnhancedMeaning{7, 12, "the password must be changed first"},
    EnhancedMeaning{7, 13, "the user's account is disabled"},
    EnhancedMeaning{7, 14, "a trust relationship with another server is needed"},
    EnhancedMeaning{7, 15, "the priority of the message is too low"},
    EnhancedMeaning{7, 16, "the message is too big for its priority"},
    EnhancedMeaning{7, 17, "the mailbox has another owner now"},
    EnhancedMeaning{7, 18, "the domain has another owner now"},
    EnhancedMeaning{7, 19, "whether the owner is the same cannot be told"},
    EnhancedMeaning{7, 20, "no DKIM signature passes"},
    EnhancedMeaning{7, 21, "no DKIM signature is acceptable"},
    EnhancedMeaning{7, 22, "no DKIM signature of the author's domain"},
    EnhancedMeaning{7, 23, "SPF failed"},
    EnhancedMeaning{7, 24, "SPF could not be evaluated"},
    EnhancedMeaning{7, 25, "the reverse DNS name of the client does not check out"},
    EnhancedMeaning{7, 26, "several checks of the sender's authentication failed"},
    EnhancedMeaning{7, 27, "the sender's domain has a null MX"},
    EnhancedMeaning{7, 28, "a flood of mail was detected"},
    EnhancedMeaning{7, 29, "the ARC chain does not validate"},
    EnhancedMeaning{7, 30, "the message requires TLS and it cannot be had"},
};

constexpr std::array<string_view, 6> kSecondDigit = {
    "about the syntax",     "about information", "about the connection", "", "",
    "about the mail system"};

string_view word_for(unsigned digit) {
  return digit == 2 ? "success" : digit == 3 ? "go on" : digit == 4 ? "temporary" : "permanent";
}

}  // namespace

string reply_meaning(std::uint16_t code) {
  if (code < 200 || code > 599) return {};
  for (const ReplyMeaning& row : kReplies) {
    if (row.code == code) return string(word_for(code / 100u)) + ": " + string(row.text);
  }
  const unsigned second = code / 10u % 10u;
  const string_view about = second < kSecondDigit.size() ? kSecondDigit[second] : "";
  string text = string(word_for(code / 100u)) + ", ";
  if (!about.empty()) text += string(about) + ", ";
  return text + "by its digits; the code itself is not in the standard";
}

string enhanced_meaning(const EnhancedCode& code) {
  if (!code.present()) return {};
  const string prefix = string(word_for(code.klass)) + ": ";
  const EnhancedMeaning* subject = nullptr;
  for (const EnhancedMeaning& row : kEnhanced) {
    if (row.subject != code.subject) continue;
    if (row.detail == code.detail) return prefix + string(row.text);
    if (row.detail == 0) subject = &row;
  }
  const string unregistered = "; this detail is not registered, the provider's own";
  return prefix + (subject == nullptr ? string("no registered subject") : string(subject->text)) +
         unregistered;
}

string bare_code_meaning(string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  const auto skip_blanks = [&] {
    while (p < end && *p == ' ') ++p;
  };
  skip_blanks();
  string out;
  if (end - p >= 3 && is_reply_code(p) && (end - p == 3 || p[3] == ' ')) {
    out = reply_meaning(reply_code(p));
    p += 3;
    skip_blanks();
  }
  EnhancedCode enhanced;
  if (const std::size_t n = p < end ? read_enhanced(p, end, enhanced) : 0; n != 0) {
    if (!out.empty()) out += "; ";
    out += enhanced_meaning(enhanced);
    p += n;
    skip_blanks();
  }
  return p == end ? out : string();
}

}  // namespace bounced::classify

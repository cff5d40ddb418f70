package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/mail"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
	pb "twc/customer/v2"
)

const (
	maxText       = 1024
	maxAddresses  = 100
	maxExemptions = 100
	maxGroups     = 100
	maxAttributes = 200
	maxBytes      = 256 << 10

	notAnEmail   = "must be an e-mail address, such as ada@example.com"
	notAPhone    = "must be a phone number that can be dialled from abroad, such as +491701234567"
	notADate     = "must be a date such as 2001-05-28 or an RFC 3339 date-time such as 2001-05-28T00:00:00Z"
	emptyAddress = "must say something of the address, such as address1 or city"
)

var (
	isPlainEmail = regexp.MustCompile(`(?i)^[a-z0-9_+-]+(\.[a-z0-9_+-]+)*@([a-z0-9]{1,30}(-[a-z0-9]{1,30})?\.){1,3}[a-z]{2,12}$`).MatchString
	isInteger    = regexp.MustCompile(`^[+-]?[0-9]+$`).MatchString
	isNumber     = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`).MatchString

	// Maximum lengths other than maxText, by full names of fields.
	lengths = map[protoreflect.FullName]int{
		"twc.customer.v2.Customer.email": 254,
		"twc.customer.v2.Address.email":  254,
		"twc.customer.v2.Address.phone":  64,
	}
	// Fields that requests cannot set.
	ignored = map[protoreflect.Name]bool{"id": true, "customer_id": true}
	// Fields that an update does not copy.
	serverFields = map[protoreflect.Name]bool{
		"id": true, "created_date": true, "last_modified_date": true, "default_address": true,
	}

	countries = newSet(`
		AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ
		BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM
		DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS
		GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN
		KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ
		MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM
		PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV
		SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI
		VN VU WF WS YE YT ZA ZM ZW`)
	// Calling codes of countries whose national numbers are accepted. The trunk
	// prefix is 0, except in North America and Spain, which have none.
	callingCodes = map[string]string{
		"AT": "43", "BE": "32", "CA": "1", "CH": "41", "DE": "49", "ES": "34", "FR": "33",
		"GB": "44", "NL": "31", "SE": "46", "US": "1",
	}
)

// violations are the broken rules of a request.
type violations []violation

type violation struct{ field, description string }

func (v violations) Error() string { return "the request breaks rules of the contract" }

func (v *violations) add(field, description string) {
	*v = append(*v, violation{field, description})
}

// create turns the customer of a request into the one to store.
func create(customer *pb.Customer, region string, now time.Time) error {
	chosen := customer.DefaultAddress
	stamp := timestamppb.New(now.Truncate(time.Millisecond))
	if (customer.AcceptsMarketing != nil || customer.MarketingOptinLevel != nil) && customer.MarketingPreferencesUpdatedAt == nil {
		customer.MarketingPreferencesUpdatedAt = stamp
	}
	customer.Id, customer.CreatedDate, customer.LastModifiedDate = proto.String(newID(now)), stamp, stamp
	return normalize(customer, chosen, nil, region, now)
}

// update applies the customer of a request, which it modifies, to a stored one.
func update(stored, request *pb.Customer, region string, now time.Time) error {
	stamp := timestamppb.New(now.Truncate(time.Millisecond))
	accepted, level := stored.GetAcceptsMarketing(), stored.GetMarketingOptinLevel()
	marked := stored.MarketingPreferencesUpdatedAt
	known := map[string]bool{}
	current := stored.GetDefaultAddress().GetId()
	for _, address := range stored.Addresses {
		known[address.GetId()] = true
	}
	chosen := request.DefaultAddress
	if request.Addresses != nil && chosen == nil && !anyMarked(request.Addresses) {
		for _, address := range request.Addresses {
			address.DefaultAddress = proto.Bool(current != "" && address.GetId() == current)
		}
	}
	into := stored.ProtoReflect()
	request.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if !serverFields[field.Name()] {
			into.Set(field, value)
		}
		return true
	})
	stored.LastModifiedDate = stamp
	if err := normalize(stored, chosen, known, region, now); err != nil {
		return err
	}
	isSame := accepted == stored.GetAcceptsMarketing() && level == stored.GetMarketingOptinLevel()
	if !isSame && (request.MarketingPreferencesUpdatedAt == nil || proto.Equal(request.MarketingPreferencesUpdatedAt, marked)) {
		stored.MarketingPreferencesUpdatedAt = stamp
	}
	return nil
}

func anyMarked(addresses []*pb.Address) bool {
	for _, address := range addresses {
		if address.GetDefaultAddress() {
			return true
		}
	}
	return false
}

// normalize brings a customer into its stored form, and checks all rules.
func normalize(c *pb.Customer, chosen *pb.Address, known map[string]bool, region string, now time.Time) error {
	var found violations
	setDefaults(c)
	c.DefaultAddress = nil
	found.checkTexts(c.ProtoReflect(), "")
	found.normalizeAddresses(c, chosen, known, now)
	if c.Email == nil || !isEmail(*c.Email) {
		found.add("email", notAnEmail)
	}
	if ref := c.GetCustomerRef(); ref == "." || ref == ".." {
		found.add("customerRef", "must not be . or .., which URLs take for steps in a path")
	}
	if c.Dob != nil {
		if born, ok := readDate(*c.Dob); !ok {
			found.add("dob", notADate)
		} else if born.After(now) {
			found.add("dob", "must not be in the future")
		}
	}
	if _, ok := pb.Customer_State_name[int32(c.GetCustomerState())]; !ok {
		found.add("customer_state", "must be disabled, invited, enabled or declined")
	}
	if _, ok := pb.Customer_MarketingOptinLevel_name[int32(c.GetMarketingOptinLevel())]; !ok {
		found.add("marketing_optin_level", "must be single_opt_in, confirmed_opt_in or unknown")
	}
	if moment := c.MarketingPreferencesUpdatedAt; moment != nil {
		if moment.CheckValid() != nil {
			found.add("marketing_preferences_updated_at", "must be a time between the years 1 and 9999")
		}
		moment.Nanos -= moment.Nanos % 1e6
	}
	if len(c.TaxExemptions) > maxExemptions {
		found.add("taxExemptions", fmt.Sprintf("must hold at most %d texts", maxExemptions))
	}
	for index, exemption := range c.TaxExemptions {
		if exemption == "" {
			found.add(fmt.Sprintf("taxExemptions[%d]", index), "must not be empty")
		}
	}
	if code := c.GetDefaultAddress().GetCountryCode(); code != "" {
		region = code
	}
	found.normalizePhone("mobile", c.Mobile, region)
	found.normalizePhone("phone", c.Phone, region)
	found.checkGroups(c.AttributeGroups)
	if found == nil && proto.Size(c) > maxBytes {
		found.add("customer", "must be at most 256 KiB")
	}
	if found != nil {
		return found
	}
	return nil
}

// setDefaults removes blank values, and sets the defaults of missing ones.
func setDefaults(c *pb.Customer) {
	if c.Email != nil {
		c.Email = proto.String(strings.TrimSpace(*c.Email))
	}
	for _, field := range []**string{&c.CustomerRef, &c.Email, &c.Mobile, &c.Phone, &c.Dob} {
		if *field != nil && strings.TrimSpace(**field) == "" {
			*field = nil
		}
	}
	if c.Active == nil {
		c.Active = proto.Bool(true)
	}
	if c.GetCustomerState() == pb.Customer_state_unspecified {
		c.CustomerState = pb.Customer_disabled.Enum()
	}
	for _, field := range []**bool{&c.AcceptsMarketing, &c.TaxExempt, &c.VerifiedEmail} {
		if *field == nil {
			*field = proto.Bool(false)
		}
	}
	if !*c.AcceptsMarketing {
		c.MarketingOptinLevel = nil
	} else if c.GetMarketingOptinLevel() == pb.Customer_marketing_optin_level_unspecified {
		c.MarketingOptinLevel = pb.Customer_unknown.Enum()
	}
}

// checkTexts checks every string of a message and of its nested messages.
func (v *violations) checkTexts(message protoreflect.Message, path string) {
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if ignored[field.Name()] {
			return true
		}
		limit := maxText
		if own, ok := lengths[field.FullName()]; ok {
			limit = own
		}
		at := path + field.JSONName()
		switch {
		case field.IsMap():
			value.Map().Range(func(key protoreflect.MapKey, each protoreflect.Value) bool {
				within := at + `["` + key.String() + `"]`
				v.checkText(key.String(), maxText, within)
				v.checkTexts(each.Message(), within+".")
				return true
			})
		case field.IsList():
			for i, list := 0, value.List(); i < list.Len(); i++ {
				within := fmt.Sprintf("%s[%d]", at, i)
				if field.Kind() == protoreflect.StringKind {
					v.checkText(list.Get(i).String(), limit, within)
				} else {
					v.checkTexts(list.Get(i).Message(), within+".")
				}
			}
		case field.Kind() == protoreflect.StringKind:
			v.checkText(value.String(), limit, at)
		}
		return true
	})
}

func (v *violations) checkText(text string, limit int, field string) {
	if len(text) > limit && utf8.RuneCountInString(text) > limit {
		v.add(field, fmt.Sprintf("must be at most %d characters long", limit))
	}
	for _, c := range text {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c >= 0x7f && c <= 0x9f {
			v.add(field, "must not hold control characters other than tab and line breaks")
			return
		}
	}
}

// normalizeAddresses sets the ids of addresses, and marks the default one: the chosen one,
// which is appended if it is not in the list, else the marked one, else the first.
func (v *violations) normalizeAddresses(c *pb.Customer, chosen *pb.Address, known map[string]bool, now time.Time) {
	marked := 0
	for index, address := range c.Addresses {
		path := fmt.Sprintf("addresses[%d]", index)
		v.checkAddress(address, path)
		if chosen == nil && address.GetDefaultAddress() {
			if c.Addresses[marked].GetDefaultAddress() && marked != index {
				v.add(path+".defaultAddress", fmt.Sprintf("must not be true, because that of addresses[%d] is", marked))
			}
			marked = index
		}
	}
	if chosen != nil {
		v.checkTexts(chosen.ProtoReflect(), "defaultAddress.")
		if marked = find(c.Addresses, chosen); marked < 0 {
			v.checkAddress(chosen, "defaultAddress")
			marked = len(c.Addresses)
			c.Addresses = append(c.Addresses, chosen)
		} else if hasContent(chosen) && chosen.GetId() != "" && chosen.GetId() == c.Addresses[marked].GetId() {
			v.checkAddress(chosen, "defaultAddress")
			c.Addresses[marked] = chosen
		}
	}
	if len(c.Addresses) > maxAddresses {
		v.add("addresses", fmt.Sprintf("must hold at most %d addresses", maxAddresses))
	}
	for index, address := range c.Addresses {
		if !known[address.GetId()] {
			address.Id = proto.String(newID(now))
		}
		address.CustomerId = c.Id
		address.DefaultAddress = proto.Bool(index == marked)
	}
	if len(c.Addresses) > 0 {
		c.DefaultAddress = c.Addresses[marked]
	}
}

func (v *violations) checkAddress(address *pb.Address, path string) {
	if address.CountryCode != nil {
		code := strings.ToUpper(strings.TrimSpace(*address.CountryCode))
		address.CountryCode = optional(code)
		if code != "" && !countries[code] {
			v.add(path+".countryCode", "must be an ISO 3166-1 alpha-2 code, such as DE")
		}
	}
	if !hasContent(address) {
		v.add(path, emptyAddress)
	}
}

// find returns the index of the address with the same id, else the same content, else -1.
func find(addresses []*pb.Address, wanted *pb.Address) int {
	for index, address := range addresses {
		if wanted.GetId() != "" && address.GetId() == wanted.GetId() {
			return index
		}
	}
	content := contentOf(wanted)
	for index, address := range addresses {
		if proto.Equal(contentOf(address), content) {
			return index
		}
	}
	return -1
}

func contentOf(address *pb.Address) *pb.Address {
	content := proto.Clone(address).(*pb.Address)
	content.Id, content.CustomerId, content.DefaultAddress = nil, nil, nil
	return content
}

func hasContent(address *pb.Address) bool {
	found := false
	address.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		found = field.Kind() == protoreflect.StringKind && !ignored[field.Name()] && value.String() != ""
		return !found
	})
	return found
}

func (v *violations) checkGroups(groups map[string]*pb.AttributeGroup) {
	if len(groups) > maxGroups {
		v.add("attributeGroups", fmt.Sprintf("must hold at most %d groups", maxGroups))
	}
	for name, group := range groups {
		path := `attributeGroups["` + name + `"]`
		if name == "" {
			v.add(path, "must have a name that is not empty")
		}
		if len(group.Attributes) > maxAttributes {
			v.add(path+".attributes", fmt.Sprintf("must hold at most %d attributes", maxAttributes))
		}
		for each, attribute := range group.Attributes {
			if each == "" {
				v.add(path+`.attributes[""]`, "must have a name that is not empty")
			}
			if attribute.GetValueType() == pb.Attribute_VALUE_TYPE_UNSPECIFIED {
				attribute.ValueType = nil
			}
			if !isValue(attribute) {
				v.add(path+`.attributes["`+each+`"].attribute_value`, "must be readable as its value_type")
			}
		}
	}
}

func isValue(attribute *pb.Attribute) bool {
	if attribute.AttributeValue == nil {
		return true
	}
	value := *attribute.AttributeValue
	switch attribute.GetValueType() {
	case pb.Attribute_VALUE_TYPE_UNSPECIFIED, pb.Attribute_STRING:
		return true
	case pb.Attribute_INTEGER:
		return isInteger(value)
	case pb.Attribute_NUMBER:
		return isNumber(value)
	case pb.Attribute_BLOB:
		_, standard := base64.StdEncoding.DecodeString(value)
		_, safe := base64.URLEncoding.DecodeString(value)
		return standard == nil || safe == nil
	case pb.Attribute_DATE:
		_, ok := readDate(value)
		return ok
	}
	return false
}

func readDate(text string) (time.Time, bool) {
	moment, err := time.Parse("2006-01-02", text)
	if err != nil {
		moment, err = time.Parse(time.RFC3339, text)
	}
	return moment, err == nil
}

func isEmail(text string) bool {
	if utf8.RuneCountInString(text) > 254 || strings.IndexByte(text, '@') > 64 {
		return false
	}
	if isPlainEmail(text) {
		return true
	}
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text && strings.Contains(text[strings.LastIndexByte(text, '@'):], ".")
}

func (v *violations) normalizePhone(field string, number *string, region string) {
	if number == nil {
		return
	}
	written, ok := toE164(*number, region)
	if !ok {
		v.add(field, notAPhone)
	}
	*number = written
}

// toE164 converts a phone number to E.164 format; a national number is one of the region.
func toE164(number, region string) (string, bool) {
	digits := strings.NewReplacer(" ", "", "(", "", ")", "", ".", "", "/", "", "-", "").Replace(number)
	if international := strings.TrimPrefix(digits, "+"); international != digits {
		digits = international
	} else if code := callingCodes[region]; code == "" {
		return number, false
	} else if code == "1" || code == "34" {
		digits = code + digits
	} else if national := strings.TrimPrefix(digits, "0"); national != digits {
		digits = code + national
	} else {
		return number, false
	}
	if len(digits) < 7 || len(digits) > 15 || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return number, false
	}
	return "+" + digits, true
}

// regions returns the region of national phone numbers, by tenant.
func regions() map[string]string {
	found := map[string]string{}
	if value := os.Getenv("DEFAULT_REGIONS"); value != "" {
		must(json.Unmarshal([]byte(value), &found))
	}
	return found
}

// newID returns a UUID version 7.
func newID(now time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], uint64(now.UnixMilli())<<16)
	return uuid(id, 6, 7)
}

// uuid returns a UUID of a version, with random bytes from an index on.
func uuid(id [16]byte, from int, version byte) string {
	_, err := rand.Read(id[from:])
	must(err)
	id[6], id[8] = id[6]&0x0f|version<<4, id[8]&0x3f|0x80
	text := hex.EncodeToString(id[:])
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}

func newSet(words string) map[string]bool {
	found := map[string]bool{}
	for _, word := range strings.Fields(words) {
		found[word] = true
	}
	return found
}

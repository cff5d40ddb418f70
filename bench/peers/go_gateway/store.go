package main

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"strings"
	"sync"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"google.golang.org/protobuf/proto"
	pb "twc/customer/v2"
)

const (
	// The settings of all peers, as in bench/peers/table.py.
	settings = "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_cache_size=-8192&_txlock=immediate"

	// The most customers that a search returns.
	page = "100"

	schema = `
	CREATE TABLE customer (
		tenant TEXT NOT NULL, id TEXT NOT NULL, email_key TEXT NOT NULL, mobile TEXT, phone TEXT,
		customer_ref TEXT, first_name_key TEXT, last_name_key TEXT, body BLOB NOT NULL,
		PRIMARY KEY (tenant, id)
	);
	CREATE UNIQUE INDEX customer_email_key ON customer (tenant, email_key);
	CREATE UNIQUE INDEX customer_mobile ON customer (tenant, mobile);
	CREATE UNIQUE INDEX customer_phone ON customer (tenant, phone);
	CREATE UNIQUE INDEX customer_customer_ref ON customer (tenant, customer_ref);
	CREATE INDEX customer_first_name_key ON customer (tenant, first_name_key, id);
	CREATE INDEX customer_last_name_key ON customer (tenant, last_name_key, id);`

	selection = "SELECT body FROM customer WHERE tenant = ? AND "
	insertion = `INSERT INTO customer (email_key, mobile, phone, customer_ref, first_name_key,
		last_name_key, body, tenant, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
	change = `UPDATE customer SET email_key = ?, mobile = ?, phone = ?, customer_ref = ?,
		first_name_key = ?, last_name_key = ?, body = ? WHERE tenant = ? AND id = ?`
)

// Columns that customers are found by.
var columns = []string{"email_key", "mobile", "phone", "customer_ref", "first_name_key", "last_name_key", "id"}

// store stores customers as Protobuf. Writers share one connection, because SQLite
// allows one writer at a time.
type store struct {
	readers, writer *sql.DB
	insert, update  *sql.Stmt
	get             *sql.Stmt
	// Statements that find a customer within a write, by column.
	find map[string]*sql.Stmt
	// Prepared statements by query.
	searches sync.Map
}

// conflict is the error of a unique value that another customer has.
type conflict struct{ field, owner string }

func (conflict) Error() string { return "a value belongs to another customer" }

func createSchema(path string) error {
	db, err := sql.Open("sqlite3", "file:"+path+settings)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(schema)
	return err
}

func open(path string) (*store, error) {
	s := &store{find: map[string]*sql.Stmt{}}
	var err error
	connect := func(connections int) *sql.DB {
		db, failed := sql.Open("sqlite3", "file:"+path+settings)
		if failed != nil {
			err = failed
			return nil
		}
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
		return db
	}
	if s.readers, s.writer = connect(2), connect(1); err != nil {
		return nil, err
	}
	prepare := func(db *sql.DB, query string) *sql.Stmt {
		statement, failed := db.Prepare(query)
		if failed != nil {
			err = failed
		}
		return statement
	}
	s.insert, s.update = prepare(s.writer, insertion), prepare(s.writer, change)
	s.get = prepare(s.readers, selection+"id = ?")
	for _, column := range columns {
		s.find[column] = prepare(s.writer, selection+column+" = ?")
	}
	return s, err
}

// search returns the customers with all the values, by column.
func (s *store) search(tenant string, wanted map[string]string) ([]*pb.Customer, error) {
	query, values := selection+"TRUE", []any{tenant}
	for _, column := range columns {
		if value, ok := wanted[column]; ok {
			query += " AND " + column + " = ?"
			values = append(values, value)
		}
	}
	statement, ok := s.searches.Load(query)
	if !ok {
		prepared, err := s.readers.Prepare(query + " ORDER BY id LIMIT " + page)
		if err != nil {
			return nil, err
		}
		statement, _ = s.searches.LoadOrStore(query, prepared)
	}
	rows, err := statement.(*sql.Stmt).Query(values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []*pb.Customer
	var body sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		customer := new(pb.Customer)
		if err := proto.Unmarshal(body, customer); err != nil {
			return nil, err
		}
		found = append(found, customer)
	}
	return found, rows.Err()
}

func (s *store) create(tenant string, customer *pb.Customer) error {
	row, err := rowOf(tenant, customer)
	if err == nil {
		_, err = s.insert.Exec(row...)
	}
	return s.asConflict(err, tenant, row)
}

func (s *store) createAll(tenant string, customers []*pb.Customer) error {
	tx, err := s.writer.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	insert := tx.Stmt(s.insert)
	for _, customer := range customers {
		row, err := rowOf(tenant, customer)
		if err != nil {
			return err
		}
		if _, err := insert.Exec(row...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// change applies a function to the customer with a value in a column, or to nil, and
// stores the result.
func (s *store) change(tenant, column, value string, apply func(*pb.Customer) error) (*pb.Customer, error) {
	tx, err := s.writer.Begin()
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	customer, err := findOne(tx.Stmt(s.find[column]), tenant, value)
	if err != nil {
		return nil, err
	}
	if err := apply(customer); err != nil {
		return nil, err
	}
	row, err := rowOf(tenant, customer)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Stmt(s.update).Exec(row...); err != nil {
		tx.Rollback()
		return nil, s.asConflict(err, tenant, row)
	}
	return customer, tx.Commit()
}

// asConflict turns the error of a unique index into a conflict with the id of the owner.
func (s *store) asConflict(err error, tenant string, row []any) error {
	var refused sqlite3.Error
	if !errors.As(err, &refused) || refused.ExtendedCode != sqlite3.ErrConstraintUnique {
		return err
	}
	message := refused.Error()
	column := message[strings.LastIndex(message, ".")+1:]
	for index, name := range columns {
		if name == column {
			found, failed := findOne(s.find[column], tenant, *row[index].(*string))
			if failed != nil {
				return failed
			}
			field := map[string]string{"email_key": "email", "customer_ref": "customerRef"}[column]
			if field == "" {
				field = column
			}
			return conflict{field, found.GetId()}
		}
	}
	return err
}

// findOne returns the customer that a statement finds, or nil.
func findOne(statement *sql.Stmt, tenant, value string) (*pb.Customer, error) {
	var body []byte
	err := statement.QueryRow(tenant, value).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	customer := new(pb.Customer)
	return customer, proto.Unmarshal(body, customer)
}

// rowOf returns the parameters of both writing statements, which have the same order.
func rowOf(tenant string, customer *pb.Customer) ([]any, error) {
	body, err := proto.Marshal(customer)
	email := emailKey(customer.GetEmail())
	return []any{
		&email, customer.Mobile, customer.Phone, customer.CustomerRef,
		optional(nameKey(customer.GetFirstName())), optional(nameKey(customer.GetLastName())),
		body, tenant, customer.GetId(),
	}, err
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// The keys are those of the service's storage package.

func nameKey(name string) string {
	return exactKey(fold(strings.TrimSpace(name)))
}

func emailKey(email string) string {
	at := strings.LastIndexByte(email, '@')
	domain := email[at+1:]
	if !isASCII(domain) {
		if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
			domain = ascii
		}
	}
	return exactKey(fold(email[:at+1]) + fold(domain))
}

func exactKey(text string) string {
	if len(text) <= 512 {
		return text
	}
	digest := sha256.Sum256([]byte(text))
	return "\x02" + hex.EncodeToString(digest[:])
}

func fold(text string) string {
	if isASCII(text) {
		return strings.ToLower(text)
	}
	folded := cases.Fold().String(strings.ToUpper(norm.NFC.String(text)))
	return norm.NFC.String(strings.ReplaceAll(folded, "i\u0307", "i"))
}

func isASCII(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

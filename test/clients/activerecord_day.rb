# A day with ActiveRecord

require 'active_record'

ActiveRecord::Base.establish_connection(
  adapter: 'postgresql', host: ENV['PGHOST'], port: ENV['PGPORT'], username: ENV['PGUSER'], database: ENV['PGDATABASE']
)

class ApplicationRecord < ActiveRecord::Base
  self.abstract_class = true
end

# What a contact has of a marketing status
module MarketingStatus
  extend ActiveSupport::Concern

  included do
    enum marketing_contact_status: { non_marketing: 'non_marketing', marketing: 'marketing' }
  end

  class_methods do
    # The source of what the block does, in a transaction
    def with_source(type, name)
      transaction do
        connection.exec_query("SELECT set_config('contacts_tier.source_type', $1, true), " \
                              "set_config('contacts_tier.source_name', $2, true)", 'source', [bind(type), bind(name)])
        yield
      end
    end

    def bind(value)
      ActiveRecord::Relation::QueryAttribute.new('', value, ActiveRecord::Type::String.new)
    end
  end
end

class Contact < ApplicationRecord
  include MarketingStatus
end

class Lead < ApplicationRecord
  include MarketingStatus
end

def ok(seen, name, what = nil)
  puts "#{seen ? 'ok' : 'not ok'} - #{name}"
  puts "# #{what}" unless seen
end

def same(seen, expected, name)
  ok(seen == expected, name, "#{seen.inspect}, expected #{expected.inspect}")
end

def find(name, model = Contact)
  model.find_by!(email: "#{name}@example.com")
end

def status(name, model = Contact)
  contact = find(name, model)
  [contact.marketing_contact_status, contact.marketing_contact_until_next_update]
end

$stdout.sync = true

# create
ada = Contact.new(account_id: 1, email: 'ada@example.com', marketing_contact_status: :marketing)
Contact.with_source('FORM', 'signup') { ada.save! }
same(ada.reload.marketing_contact_status_source_type, 'FORM', 'save! of a new contact: the source of SET LOCAL')

# bulk create
imported = { account_id: 1, name: '', marketing_contact_status_source_type: 'IMPORT',
             marketing_contact_status_source_name: 'list.csv' }
Contact.insert_all!((1..6).map { |n|
  imported.merge(email: "b#{n}@example.com", marketing_contact_status: n <= 3 ? 'marketing' : nil)
})
same(Contact.where(account_id: 1).marketing.count, 4, 'insert_all!, and a scope of the enum')

# upsert
imported.merge!(name: 'upserted', marketing_contact_status_source_name: 'again.csv')
Contact.upsert_all([['b4', 'marketing'], ['b5', nil], ['c1', nil]].map { |name, value|
  imported.merge(email: "#{name}@example.com", marketing_contact_status: value)
}, unique_by: %i[account_id email])
same(%w[b4 b5 c1].map { |name| status(name)[0] }, %w[marketing non_marketing non_marketing], 'upsert_all')

# update
find('b5').marketing!
same(status('b5'), ['marketing', nil], 'update! by the enum')

# save: all columns, as without partial writes
[Contact, Lead].each do |model|
  rows = model.where(account_id: 3).order(:id).to_a
  rows.each do |row|
    row.name = 'typo'
    row.attributes.each_key { |column| row.public_send("#{column}_will_change!") unless column == 'id' }
    row.save!
  end
  after = model.where(account_id: 3).order(:id).map(&:attributes)
  same(after, rows.map(&:attributes), "save! of whole rows: only names change in #{model.table_name}")
  plain = find('plain', model)
  plain.attributes.each_key { |column| plain.public_send("#{column}_will_change!") unless column == 'id' }
  model.with_source('WORKFLOW', 'welcome') { plain.marketing! }
  same(status('plain', model), ['marketing', nil], "save! promotes in #{model.table_name}")
end

# bulk update
Contact.where(email: %w[b1 b2 b6].map { |name| "#{name}@example.com" })
       .update_all(["marketing_contact_status = CASE email WHEN ? THEN ? ELSE ? END", 'b6@example.com', 'marketing',
                    'non_marketing'])
same(%w[b1 b2 b6].map { |name| status(name) }, [['marketing', true], ['marketing', true], ['marketing', nil]],
     'update_all with CASE')
find('b2').marketing!
same(status('b2'), ['marketing', true], 'the status that a contact has is not written')
find('b2').update!(marketing_contact_until_next_update: nil)
same(status('b2'), ['marketing', nil], 'update! clears the flag')
Contact.where(email: 'b2@example.com').update_all(marketing_contact_status: :marketing)
same(status('b2'), ['marketing', nil], 'update_all')

# delete
find('b3').destroy!
ok(!Contact.exists?(email: 'b3@example.com'), 'destroy!')

# transaction with savepoint
Contact.with_source('WORKFLOW', 'welcome') do
  find('c1').marketing!
  begin
    Contact.transaction(requires_new: true) do
      Contact.insert_all!((1..10).map { |n|
        { account_id: 1, email: "d#{n}@example.com", marketing_contact_status: 'marketing' }
      })
    end
    ok(false, 'MC001 and its fields', 'not refused')
  rescue ActiveRecord::StatementInvalid => e
    result = e.cause.result
    fields = [PG::PG_DIAG_SQLSTATE, PG::PG_DIAG_SCHEMA_NAME, PG::PG_DIAG_TABLE_NAME, PG::PG_DIAG_CONSTRAINT_NAME,
              PG::PG_DIAG_MESSAGE_DETAIL].map { |field| result.error_field(field) }
    same(fields, ['MC001', 'public', 'contacts', 'contact_tier',
                  'The account has 7 of 10 marketing contacts; the statement adds 10, but there is room for 3.'],
         'MC001 and its fields')
  end
  same(status('c1'), ['marketing', nil], 'what was before the savepoint stays')
end

# cap
notices = []
Contact.connection.raw_connection.set_notice_receiver do |result|
  notices << result.error_field(PG::PG_DIAG_MESSAGE_PRIMARY)
end
Contact.insert_all!((1..7).map { |n| { account_id: 2, email: "e#{n}@example.com", marketing_contact_status: 'marketing' } })
same(notices.size, 1, 'cap: one warning')
ok(notices[0].to_s.start_with?('2 contacts of account "2" were stored as '), 'cap: its text', notices[0])
puts 'done'

"""Alert rules, alerts, silences, receivers and the outbox, incidents; and the rules a new installation
starts with; the minutes of weddings and the reports of their days."""

import django.core.validators
import django.db.models.deletion
import monitoring.models.alerts
from django.db import migrations, models


# (name, title, signal, threshold, settings, what to do). Thresholds: background ops.md 4.4 and 4.5 where they are named there.
RULES = [
    (
        "burn-now", "The day's error budget burns ten times too fast", "burn.5m", 9.6, {"severity": "page", "no_data_s": 0, "hidden_by": "journal-down"},
        "Open the dashboard: which priority is late, on which worker? One worker: drain it. All of them: pin the scaler higher, look at the journal's database.",
    ),
    (
        "burn-half-hour", "The day's error budget burns three times too fast", "burn.30m", 3.2, {"severity": "page", "hidden_by": "burn-now journal-down"},
        "Slower than the alert above, the same questions: which priority, which worker, since which deploy or decision?",
    ),
    (
        "burn-day", "The day's error budget will not last", "burn.2h", 1.0, {"severity": "ticket", "hidden_by": "burn-now burn-half-hour"},
        "Compare the day with the forecast. Add a worker before the next peak, look at weddings that are late on their own.",
    ),
    (
        "promise-broken", "Clients saw a gap, a double or a wrong order", "promise.faults", 0, {"severity": "page", "keep_s": 300},
        "This must never happen. Keep the log of the worker and the journal as they are, drain the worker, look at the wedding's journal.",
    ),
    (
        "wedding-late", "One wedding is served late", "wedding.late", 0.01, {"severity": "page", "for_s": 60, "hidden_by": "burn-now worker-missing"},
        "More than one in a hundred deliveries of cues and changes took over 250 ms for a minute. Move the wedding to another worker; when it stays late, its venue's network is slow: call the planner.",
    ),
    (
        "planner-away", "The planner of a wedding that is going on has lost the connection", "wedding.planner_away", 10, {"severity": "ticket", "keep_s": 0},
        "The others of the wedding are connected. When it lasts, call the planner: their changes wait on their device.",
    ),
    (
        "emergency-unseen", "An emergency is not confirmed by all of the crew", "emergency.unseen", 120, {"severity": "page", "keep_s": 0},
        "Call those who are named: they were reminded three times. The planner's board shows who was reached.",
    ),
    (
        "worker-missing", "A worker does not report any more", "worker.silent", 2, {"severity": "page", "keep_s": 5},
        "Its people are moving to the other workers by themselves and the supervisor starts a new one. Look at its log: why did it end?",
    ),
    (
        "worker-lag", "A worker's loop stalls", "worker.lag", 0.05, {"for_s": 10, "hidden_by": "worker-missing"},
        "Something blocks its loop for longer than 50 ms. Drain it; its log names slow callbacks.",
    ),
    (
        "worker-busy", "A worker has no CPU left", "worker.busy", 0.95, {"for_s": 60, "hidden_by": "worker-missing"},
        "Add a worker, or pin the scaler to a higher number; the balancer then moves weddings over.",
    ),
    (
        "worker-outbox", "Much waits for slow members of a worker", "worker.outbox", 33_554_432, {"for_s": 10, "hidden_by": "worker-missing"},
        "Many members do not read. One venue: its network is down. All of them: the way to the internet is.",
    ),
    (
        "too-slow", "More than one in a hundred connections was closed as too slow", "worker.too_slow", 0.01, {"hidden_by": "worker-missing"},
        "They come back and resume. When it goes on, look at which venue they are.",
    ),
    (
        "worker-lame", "A worker is not fit for members", "worker.lame", 0.5, {"for_s": 2, "hidden_by": "worker-missing"},
        "It gets no new members. Its reason is on the dashboard; drain it when it does not recover.",
    ),
    (
        "journal-down", "Publications cannot be stored", "journal.down", 0.5, {"severity": "page", "for_s": 5, "hidden_by": "worker-missing"},
        "Emergencies still leave at once, changes wait on the devices of those who made them. Bring the journal's database back.",
    ),
    (
        "layer-down", "Workers do not reach each other", "layer.down", 0.5, {"for_s": 10, "hidden_by": "worker-missing"},
        "Deliveries across workers go through the journal and take up to a second. Bring Redis back.",
    ),
    (
        "canary-lost", "Other workers do not hear a worker", "canary.lost", 0.4, {"for_s": 3, "hidden_by": "worker-missing layer-down"},
        "It answers, but what it publishes does not arrive. It gets no new members; drain it.",
    ),
    (
        "joins-refused", "People are told to come back later", "joins.refused", 0, {"for_s": 30},
        "More come at once than the workers let in. After a crash that is meant to be so for seconds; otherwise add a worker.",
    ),
    (
        "shedding", "Something is left out for somebody", "shed.publications", 0, {"for_s": 30, "severity": "info"},
        "An overloaded worker leaves out reactions and presence, least important people first. Add a worker when it goes on.",
    ),
    (
        "disk-full", "The disk with the databases is nearly full", "disk.free", 0.1, {"direction": "below", "for_s": 30},
        "Run manage.py prune_journal and prune_history, or make the disk larger: a full disk stops the journal.",
    ),
    (
        "registry-silent", "Nobody knows how the workers are", "registry.silent", 10, {"severity": "page", "no_data_s": 60},
        "The control loop cannot read their reports: delivery goes on, but scaling, moving and all other alerts are blind. Bring Redis back.",
    ),
    (
        "page-undelivered", "A page does not reach somebody", "notice.waiting", 60, {"severity": "page", "keep_s": 0},
        "Its receiver does not answer or refuses: the outbox shows what it said. Call the people yourself meanwhile.",
    ),
]


def add_rules(apps, schema_editor):
    rule = apps.get_model("monitoring", "AlertRule")
    for name, title, signal, raise_at, settings, what_to_do in RULES:
        defaults = {"title": title, "signal": signal, "raise_at": raise_at, "what_to_do": what_to_do, **settings}
        rule.objects.using(schema_editor.connection.alias).get_or_create(name=name, defaults=defaults)


class Migration(migrations.Migration):

    dependencies = [
        ('monitoring', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AlertRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(max_length=60, unique=True)),
                ('title', models.CharField(help_text='What is wrong when it fires, as a sentence.', max_length=120)),
                ('signal', models.CharField(choices=monitoring.models.alerts.signal_choices, max_length=40)),
                ('direction', models.CharField(choices=[('above', 'Above'), ('below', 'Below')], default='above', max_length=5)),
                ('raise_at', models.FloatField(help_text='In the unit of the signal.', verbose_name='threshold')),
                ('clear_at', models.FloatField(blank=True, help_text='Empty: 0.8 of the threshold (1.25 when below).', null=True, verbose_name='over at')),
                ('for_s', models.FloatField(default=0, help_text='So long before it fires.', validators=[django.core.validators.MinValueValidator(0)], verbose_name='for, seconds')),
                ('keep_s', models.FloatField(default=60, help_text='So long it must be over to be over.', validators=[django.core.validators.MinValueValidator(0)], verbose_name='hold, seconds')),
                ('no_data_s', models.FloatField(default=0, help_text='Told after so long without a reading; 0: only shown.', validators=[django.core.validators.MinValueValidator(0)], verbose_name='no data, seconds')),
                ('severity', models.CharField(choices=[('page', 'Page: somebody gets up'), ('ticket', 'Ticket: somebody looks today'), ('info', 'Info: it is only shown')], default='ticket', max_length=6)),
                ('hidden_by', models.CharField(blank=True, help_text='Names of rules that explain this one, separated by spaces: it is not told while one is raised.', max_length=200)),
                ('what_to_do', models.TextField(help_text='For whoever is woken by it.')),
                ('enabled', models.BooleanField(default=True)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Incident',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('title', models.CharField(max_length=200)),
                ('started_at', models.DateTimeField(help_text='The first reading that was beyond a threshold.')),
                ('detected_at', models.DateTimeField(help_text='The first page.')),
                ('acknowledged_at', models.DateTimeField(blank=True, null=True)),
                ('acknowledged_by', models.CharField(blank=True, max_length=150)),
                ('mitigated_at', models.DateTimeField(blank=True, help_text='The last page of it was over.', null=True)),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('closed_by', models.CharField(blank=True, max_length=150)),
                ('summary', models.TextField(blank=True, help_text='What it was, and what will keep it from coming back.')),
            ],
            options={
                'ordering': ['-started_at'],
            },
        ),
        migrations.CreateModel(
            name='Receiver',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(max_length=60, unique=True)),
                ('kind', models.CharField(choices=[('email', 'E-mail'), ('webhook', 'Webhook, signed'), ('alertmanager', 'Alertmanager, API v2')], max_length=12)),
                ('target', models.CharField(help_text='Addresses separated by commas, or the URL (Alertmanager: http://host:9093).', max_length=500)),
                ('secret', models.CharField(blank=True, default=monitoring.models.alerts.new_secret, help_text="Key of a webhook's signatures.", max_length=80)),
                ('wedding', models.SlugField(blank=True, help_text='Only what is about this wedding; empty: everything.', max_length=80)),
                ('at_least', models.CharField(choices=[('page', 'Page: somebody gets up'), ('ticket', 'Ticket: somebody looks today'), ('info', 'Info: it is only shown')], default='page', max_length=6)),
                ('enabled', models.BooleanField(default=True)),
                ('last_ok_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('last_result', models.CharField(blank=True, editable=False, max_length=500)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Silence',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('rule', models.CharField(blank=True, help_text='Name of a rule; empty: any.', max_length=60)),
                ('labels', models.JSONField(blank=True, default=dict, help_text='Such as {"worker": "w2"}; {}: any.', validators=[monitoring.models.alerts.validate_labels])),
                ('author', models.CharField(editable=False, max_length=150)),
                ('reason', models.CharField(max_length=160)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-starts_at'],
            },
        ),
        migrations.CreateModel(
            name='IncidentEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('kind', models.CharField(choices=[('alert', 'Alert'), ('ack', 'Acknowledged'), ('decision', 'Scaler decision'), ('drain', 'Drain'), ('deploy', 'Deploy'), ('worker', 'Worker'), ('notice', 'Delivery of a notice'), ('note', 'Note')], max_length=8)),
                ('text', models.TextField()),
                ('author', models.CharField(blank=True, max_length=150)),
                ('incident', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='events', to='monitoring.incident')),
            ],
            options={
                'ordering': ['at', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='Alert',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fingerprint', models.CharField(db_index=True, max_length=16)),
                ('rule', models.CharField(max_length=60)),
                ('labels', models.JSONField(blank=True, default=dict)),
                ('severity', models.CharField(choices=[('page', 'Page: somebody gets up'), ('ticket', 'Ticket: somebody looks today'), ('info', 'Info: it is only shown')], max_length=6)),
                ('state', models.CharField(help_text='firing, resolving, no_data; ok when it is over.', max_length=10)),
                ('told', models.CharField(help_text='firing, flapping or no_data: what receivers heard last.', max_length=8)),
                ('muted', models.CharField(blank=True, max_length=200)),
                ('raised_at', models.DateTimeField(help_text='The first reading beyond the threshold.')),
                ('fired_at', models.DateTimeField(help_text='When it was told.')),
                ('resolved_at', models.DateTimeField(blank=True, null=True)),
                ('value', models.FloatField(null=True)),
                ('worst', models.FloatField(null=True)),
                ('reason', models.CharField(max_length=500)),
                ('acknowledged_at', models.DateTimeField(blank=True, null=True)),
                ('acknowledged_by', models.CharField(blank=True, max_length=150)),
                ('reminders', models.PositiveSmallIntegerField(default=0, help_text='How often it was told again since nobody acknowledged.')),
                ('kept', models.JSONField(default=dict, help_text='What the next holder of the control lease needs to go on with it.')),
                ('incident', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='alerts', to='monitoring.incident')),
            ],
            options={
                'ordering': ['-fired_at'],
                'permissions': [('acknowledge_alert', 'Can acknowledge alerts')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('resolved_at', None)), fields=('fingerprint',), name='alert_open_once_per_fingerprint')],
            },
        ),
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(default=monitoring.models.alerts.new_key, editable=False, max_length=32, unique=True)),
                ('severity', models.CharField(choices=[('page', 'Page: somebody gets up'), ('ticket', 'Ticket: somebody looks today'), ('info', 'Info: it is only shown')], max_length=6)),
                ('content', models.JSONField(help_text='The alerts in it, see monitoring/notifiers.py.')),
                ('created_at', models.DateTimeField()),
                ('next_try_at', models.DateTimeField()),
                ('tries', models.PositiveIntegerField(default=0)),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
                ('given_up_at', models.DateTimeField(blank=True, null=True)),
                ('result', models.CharField(blank=True, max_length=500)),
                ('receiver', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='monitoring.receiver')),
            ],
            options={
                'ordering': ['-pk'],
                'indexes': [models.Index(condition=models.Q(('given_up_at', None), ('sent_at', None)), fields=['receiver', 'id'], name='notice_waiting')],
            },
        ),
        migrations.CreateModel(
            name='StoredReport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('wedding', models.SlugField(max_length=80, unique=True)),
                ('made_at', models.DateTimeField()),
                ('file', models.TextField(help_text='What `manage.py day_report --verify` checks.')),
            ],
            options={
                'verbose_name': 'day report',
                'ordering': ['-made_at'],
            },
        ),
        migrations.CreateModel(
            name='WeddingMinute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('wedding', models.SlugField(max_length=80)),
                ('at', models.DateTimeField(help_text='When the minute began.')),
                ('connections', models.JSONField(default=dict, help_text='{role: people connected, mean of the minute}.')),
                ('deliveries', models.PositiveIntegerField()),
                ('replayed', models.PositiveIntegerField()),
                ('faults', models.PositiveIntegerField(help_text='Gaps, doubles and order faults that clients reported.')),
                ('latency', models.JSONField(default=dict, help_text='{bucket: count} of P0 and P1 deliveries, see realtime/histogram.py.')),
            ],
            options={
                'ordering': ['wedding', 'at'],
                'constraints': [models.UniqueConstraint(fields=('wedding', 'at'), name='wedding_minute_once')],
            },
        ),
        migrations.CreateModel(
            name='DrillRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(db_index=True, max_length=40)),
                ('started_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField()),
                ('passed', models.BooleanField()),
                ('verdict', models.TextField(blank=True, help_text='In words: what was broken, or that nothing was.')),
                ('options', models.JSONField(default=dict, help_text='Profile, connections, minutes, seed; for a rehearsal its date.')),
                ('result', models.JSONField(default=dict, help_text='What `--json` prints.')),
            ],
            options={
                'ordering': ['-started_at'],
            },
        ),
        migrations.RunPython(add_rules, migrations.RunPython.noop),
    ]

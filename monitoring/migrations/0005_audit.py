"""The audit: who took which responsibility, and why."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('monitoring', '0004_scaling'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('who', models.CharField(max_length=120)),
                ('what', models.CharField(help_text='Such as drill kill --live.', max_length=80)),
                ('target', models.CharField(blank=True, help_text='The weddings or workers it is about.', max_length=200)),
                ('reason', models.CharField(max_length=500)),
                ('seal', models.CharField(editable=False, help_text='SHA-256 over this row and the seal of the one before.', max_length=64)),
            ],
            options={
                'verbose_name_plural': 'audit entries',
                'ordering': ['-id'],
            },
        ),
    ]

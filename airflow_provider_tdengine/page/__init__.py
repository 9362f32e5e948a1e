"""The page Migrations in Airflow's navigation: all migrations, how far they are, and what they came to.

`plugin` puts it into Airflow, `app` has its routes, `reading` asks Airflow's metadata database, `migrations` says what
that means, `templates` and `static` are what a browser gets.
"""
